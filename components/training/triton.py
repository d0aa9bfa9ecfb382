"""The Triton model repository around a graph.

Format: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

from components.contract.signature import Signature

MAX_BATCH = 1024


def config(name: str, signature: Signature) -> str:
    """``config.pbtxt`` of a model: one batched input per raw feature, one output; requests batched on the server."""
    inputs = ",\n".join(
        _tensor(feature.name, "TYPE_STRING" if feature.kind == "category" else "TYPE_FP32")
        for feature in signature.inputs
    )
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
{inputs}
]
output [
{_tensor(signature.output, "TYPE_FP32")}
]
dynamic_batching {{
  max_queue_delay_microseconds: 500
}}
"""


def _tensor(name: str, kind: str) -> str:
    return f'  {{ name: "{name}" data_type: {kind} dims: [ 1 ] }}'

"""The Triton model repository around a graph.

Format: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

from components.contract.signature import Signature

MAX_BATCH = 1024
# Two instances: while one computes, the other takes in the next batch.
INSTANCES = 2


def config(name: str, signature: Signature) -> str:
    """``config.pbtxt`` of a model: one batched input per raw feature, one output.

    Requests that come while every instance computes are batched; one that finds an instance free does not wait for
    others. Instances are on each GPU that Triton finds, or else on CPUs, and have computed before they are ready.
    """
    kinds = {feature.name: "TYPE_STRING" if feature.kind == "category" else "TYPE_FP32" for feature in signature.inputs}
    inputs = ",\n".join(_tensor(feature, kind) for feature, kind in kinds.items())
    zeros = "\n".join(_zeros(feature, kind) for feature, kind in kinds.items())
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
{inputs}
]
output [
{_tensor(signature.output, "TYPE_FP32")}
]
version_policy {{ latest {{ num_versions: 1 }} }}
instance_group [ {{ kind: KIND_AUTO count: {INSTANCES} }} ]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
model_warmup {{
  name: "one row"
  batch_size: 1
{zeros}
}}
"""


def _zeros(name: str, kind: str) -> str:
    return f'  inputs {{ key: "{name}" value {{ data_type: {kind} dims: [ 1 ] zero_data: true }} }}'


def _tensor(name: str, kind: str) -> str:
    return f'  {{ name: "{name}" data_type: {kind} dims: [ 1 ] }}'

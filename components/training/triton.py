"""The Triton model repository around a graph.

Format: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

import json

from loopline.components.contract.signature import COLUMNS, DATATYPES, OUTPUT_DATATYPE, Signature

MAX_BATCH = 1024
# Two instances: while one computes, the other collects the next batch.
INSTANCES = 2
# What Triton's configuration calls a datatype of the V2 protocol.
_TRITON_TYPES = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}


def config(name: str, signature: Signature) -> str:
    """``config.pbtxt`` of a model: batched tensors in, one output, and which features the tensors hold.

    Requests that arrive while all instances are busy are batched; an idle instance does not wait for more requests.
    Instances are on each GPU that Triton finds, or else on CPUs, and are warmed up before they are ready.
    Triton includes parameters in the model configuration that it serves.
    """
    tensors = [(name, _TRITON_TYPES[DATATYPES[name]], len(held)) for name, held in signature.columns.items()]
    inputs = ",\n".join(_tensor(*tensor) for tensor in tensors)
    zeros = "\n".join(_zeros(*tensor) for tensor in tensors)
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
{inputs}
]
output [
{_tensor(signature.output, _TRITON_TYPES[OUTPUT_DATATYPE], 1)}
]
version_policy {{ latest {{ num_versions: 1 }} }}
instance_group [ {{ kind: KIND_AUTO count: {INSTANCES} }} ]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "{COLUMNS}" value {{ string_value: {_quoted(signature.columns)} }} }}
model_warmup {{
  name: "one row"
  batch_size: 1
{zeros}
}}
"""


def _zeros(name: str, kind: str, width: int) -> str:
    return f'  inputs {{ key: "{name}" value {{ data_type: {kind} dims: [ {width} ] zero_data: true }} }}'


def _tensor(name: str, kind: str, width: int) -> str:
    return f'  {{ name: "{name}" data_type: {kind} dims: [ {width} ] }}'


def _quoted(value: object) -> str:
    """JSON as a string of protobuf's text format, which escapes like JSON as long as all is ASCII."""
    return json.dumps(json.dumps(value))

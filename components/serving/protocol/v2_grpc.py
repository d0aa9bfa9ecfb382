"""The V2 protocol over gRPC: KServe's protobufs to and from requests and responses."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from loopline.components.serving.protocol import v2, v2_outputs
from loopline.components.serving.protocol.errors import InferenceError, invalid
from loopline.components.serving.protocol.metadata import ModelMetadata
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.protocol.tensor import BYTES, Tensor

_STATUS_CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.OUT_OF_RANGE,
    HTTPStatus.BAD_GATEWAY: grpc.StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# The protobuf field that holds the values of a tensor that is not sent as bytes.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def read(message: Any, model: ModelMetadata) -> v2.V2Request:
    """The request in a ModelInferRequest; outputs are sent as bytes if the inputs were.

    Raises:
        InferenceError: a tensor or an output is unknown, or a value is missing or wrong.
    """
    as_bytes = len(message.raw_input_contents) > 0
    if as_bytes and len(message.raw_input_contents) != len(message.inputs):
        raise invalid(f"there are {len(message.inputs)} inputs but {len(message.raw_input_contents)} raw contents")
    tensors = [
        _tensor(given, message.raw_input_contents[position] if as_bytes else None)
        for position, given in enumerate(message.inputs)
    ]
    known = v2_outputs.datatypes(model.output)
    requested = [output.name for output in message.outputs] or list(known)
    for name in requested:
        if name not in known:
            raise invalid(f"there is no output '{name[:60]}'; the outputs are {', '.join(known)}")
    return v2.V2Request(
        v2.from_tensors(tensors, model.fields, message.id),
        dict.fromkeys(requested, as_bytes),
    )


def write(response: InferenceResponse, outputs: Mapping[str, bool]) -> Any:
    """A ModelInferResponse.

    Args:
        response: the scores.
        outputs: the requested outputs, and whether each is to be sent as bytes.
    """
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for name, as_bytes in outputs.items():
        datatype = v2_outputs.datatype(response, name)
        output = message.outputs.add(name=name, datatype=datatype, shape=[len(response.scores), 1])
        if as_bytes:
            message.raw_output_contents.append(v2_outputs.raw(response, name))
        elif datatype == BYTES:
            output.contents.bytes_contents.extend(value.encode() for value in v2_outputs.values(response, name))
        else:
            output.contents.fp32_contents.extend(v2_outputs.values(response, name))
    return message


def status_code(error: InferenceError) -> grpc.StatusCode:
    """The gRPC status code of an error."""
    return _STATUS_CODES.get(error.status, grpc.StatusCode.INTERNAL)


def _tensor(given: Any, raw: bytes | None) -> Tensor:
    if raw is not None:
        return Tensor(given.name, given.datatype, list(given.shape), raw=raw)
    if given.datatype not in _CONTENTS:
        raise invalid(f"'{given.name[:60]}' has datatype '{given.datatype[:20]}', which can only be sent as bytes")
    values = list(getattr(given.contents, _CONTENTS[given.datatype]))
    return Tensor(given.name, given.datatype, list(given.shape), values)

"""The V2 protocol, also called Open Inference Protocol, over HTTP: JSON, with tensors in it or as bytes after it.

Each field is one input tensor of shape [rows] or [rows, 1]. The outputs are the score and, for each row, the names of
the missing and of the stale features as a JSON list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from loopline.components.serving.protocol import v2_outputs
from loopline.components.serving.protocol.errors import InferenceError, invalid, malformed
from loopline.components.serving.protocol.fields import Field
from loopline.components.serving.protocol.request import InferenceRequest, id_or_new, unknown_field, validate
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.protocol.tensor import Tensor
from loopline.components.serving.protocol.v1 import parse_json


@dataclass(frozen=True)
class V2Request:
    """A V2 request.

    Attributes:
        request: the rows.
        outputs: the requested outputs, and whether each is to be sent as bytes.
    """

    request: InferenceRequest
    outputs: Mapping[str, bool]


def read(
    body: bytes, json_length: str | None, fields: Mapping[str, Field], score: str, request_id: str | None
) -> V2Request:
    """The request in the body of a V2 request.

    Args:
        body: JSON, followed by the bytes of binary tensors.
        json_length: the header that says how many bytes of the body are JSON; None if it is not set.
        fields: of a request, by name.
        score: name of the model's output.
        request_id: used if the body has none.

    Raises:
        InferenceError: the body has another form, or a value is missing or wrong.
    """
    text, rest = _split(body, json_length)
    content = parse_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise invalid('the body has to be {"inputs": [{"name", "shape", "datatype", "data"}, ...]}')
    tensors = _tensors(content["inputs"], rest)
    own_id = content.get("id")
    if own_id is not None and not isinstance(own_id, str):
        raise invalid("the id of the request has to be a string")
    if request_id:
        id_or_new(request_id)  # an id that is too long is an error even if the body's is used
    return V2Request(
        from_tensors(tensors, fields, own_id or request_id),
        _requested_outputs(content.get("outputs"), content.get("parameters"), v2_outputs.datatypes(score)),
    )


def from_tensors(tensors: Sequence[Tensor], fields: Mapping[str, Field], request_id: str | None) -> InferenceRequest:
    """The request in some tensors.

    Raises:
        InferenceError: a tensor is unknown, given twice or of another length; or a value is missing or wrong.
    """
    if not tensors:
        raise invalid("the request has no inputs")
    columns: dict[str, list[Any]] = {}
    rows = tensors[0].rows()
    for tensor in tensors:
        if tensor.name not in fields:
            raise unknown_field(tensor.name, fields)
        if tensor.name in columns:
            raise invalid(f"there are two inputs '{tensor.name}'")
        if tensor.rows() != rows:
            raise invalid(f"'{tensor.name}' has {tensor.rows()} rows, but '{tensors[0].name}' has {rows}")
        columns[tensor.name] = tensor.column(fields[tensor.name])
    return validate(fields, columns, rows, request_id)


def write(response: InferenceResponse, outputs: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """The body of a V2 response, and how many bytes of it are JSON if binary tensors follow.

    Args:
        response: the scores.
        outputs: the requested outputs, and whether each is to be sent as bytes.
    """
    tensors, rest = [], []
    for name, as_bytes in outputs.items():
        tensor: dict[str, Any] = {
            "name": name,
            "shape": [len(response.scores), 1],
            "datatype": v2_outputs.datatype(response, name),
        }
        if as_bytes:
            content = v2_outputs.raw(response, name)
            tensor["parameters"] = {"binary_data_size": len(content)}
            rest.append(content)
        else:
            tensor["data"] = v2_outputs.values(response, name)
        tensors.append(tensor)
    text = orjson.dumps(
        {"model_name": response.model, "model_version": response.version, "id": response.id, "outputs": tensors}
    )
    return b"".join([text, *rest]), len(text) if rest else None


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    length = int(json_length) if json_length.isascii() and json_length.isdecimal() else len(body) + 1
    if length > len(body):
        raise malformed(f"Inference-Header-Content-Length is {json_length[:40]}, but the body has {len(body)} bytes")
    return body[:length], body[length:]


def _tensors(inputs: Sequence[Any], rest: bytes) -> list[Tensor]:
    tensors = []
    at = 0
    for given in inputs:
        tensor = _tensor(given)
        if tensor.values is None:
            size = _binary_size(given)
            if at + size > len(rest):
                raise malformed(f"'{tensor.name}' has {size} bytes of binary data, but {len(rest) - at} are left")
            tensor = Tensor(tensor.name, tensor.datatype, tensor.shape, raw=rest[at : at + size])
            at += size
        tensors.append(tensor)
    if at != len(rest):
        raise malformed(f"{len(rest) - at} bytes after the JSON belong to no input")
    return tensors


def _tensor(given: Any) -> Tensor:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise invalid("each input has to be an object with name, shape, datatype and data")
    name, shape, data = given["name"], given.get("shape"), given.get("data")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise invalid(f"input {name[:60]!r}: its shape has to be a list of integers")
    if not isinstance(given.get("datatype"), str):
        raise invalid(f"input {name[:60]!r}: its datatype has to be a string, such as FP32 or BYTES")
    if data is not None and not isinstance(data, list):
        raise invalid(f"input {name[:60]!r}: its data has to be a list")
    return Tensor(name, given["datatype"], shape, data)


def _binary_size(given: Mapping[str, Any]) -> int:
    parameters = given.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if type(size) is not int or size < 0:
        raise invalid(f"input {given['name'][:60]!r} has neither data nor a binary_data_size")
    return size


def _requested_outputs(requested: Any, parameters: Any, known: Mapping[str, str]) -> dict[str, bool]:
    """The requested outputs, and whether each is to be sent as bytes; all of them if none are named."""
    default = _flag(parameters, "binary_data_output")
    if requested is None:
        return dict.fromkeys(known, default)
    if not isinstance(requested, list) or not all(isinstance(output, dict) for output in requested):
        raise invalid("outputs has to be a list of objects with a name")
    chosen = {}
    for output in requested:
        name = output.get("name")
        if not isinstance(name, str) or name not in known:
            raise _unknown_output(name, known)
        chosen[name] = _flag(output.get("parameters"), "binary_data", default=default)
    return chosen or dict.fromkeys(known, default)


def _unknown_output(name: Any, known: Mapping[str, str]) -> InferenceError:
    return invalid(f"there is no output {str(name)[:60]!r}; the outputs are {', '.join(known)}")


def _flag(parameters: Any, name: str, *, default: bool = False) -> bool:
    return bool(parameters.get(name, default)) if isinstance(parameters, dict) else default

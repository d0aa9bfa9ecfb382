"""The V2 protocol, also called Open Inference Protocol, over HTTP: JSON, with tensors in it or as bytes after it.

Each column that is asked with is one input tensor of shape [rows] or [rows, 1]. Outputs are the score, and per row the
names of the missing and of the stale features as a JSON list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from loopline.components.serving.protocol.errors import RefusedError, invalid, malformed
from loopline.components.serving.protocol.request import Field, Question, check, identify, unknown_column
from loopline.components.serving.protocol.response import Answer
from loopline.components.serving.protocol.tensor import BYTES, Tensor, to_bytes
from loopline.components.serving.protocol.v1 import from_json

MISSING, STALE = "missing", "stale"


@dataclass(frozen=True)
class Request:
    """A V2 request: the question, and in which form the outputs are wanted: by name, whether as bytes."""

    question: Question
    binary: Mapping[str, bool]


def outputs(score: str) -> dict[str, str]:
    """The outputs by name, with their datatypes, for a model whose score has that name."""
    return {score: "FP32", MISSING: BYTES, STALE: BYTES}


def read(
    body: bytes, json_length: str | None, fields: Mapping[str, Field], score: str, request_id: str | None
) -> Request:
    """The request in a body.

    Args:
        body: JSON, and after it the bytes of tensors.
        json_length: the header that says how many bytes of it are JSON, if there is one.
        fields: what may be asked with.
        score: name of the model's output.
        request_id: used if the body gives none.

    Raises:
        RefusedError: the body is no such thing, or a value is missing or wrong.
    """
    text, rest = _split(body, json_length)
    content = from_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise invalid('the body has to be {"inputs": [{"name", "shape", "datatype", "data"}, ...]}')
    tensors = _tensors(content["inputs"], rest)
    own_id = content.get("id")
    if own_id is not None and not isinstance(own_id, str):
        raise invalid("the id of the request has to be a string")
    if request_id:
        identify(request_id)  # refuses one that is too long, also where it is not used
    return Request(
        question(tensors, fields, own_id or request_id),
        _wanted(content.get("outputs"), content.get("parameters"), outputs(score)),
    )


def question(tensors: Sequence[Tensor], fields: Mapping[str, Field], request_id: str | None) -> Question:
    """The question in some tensors.

    Raises:
        RefusedError: one is unknown, twice there, or does not fit; or a value is missing or wrong.
    """
    if not tensors:
        raise invalid("there are no inputs")
    columns: dict[str, list[Any]] = {}
    rows = tensors[0].rows()
    for tensor in tensors:
        if tensor.name not in fields:
            raise unknown_column(tensor.name, fields)
        if tensor.name in columns:
            raise invalid(f"there are two inputs '{tensor.name}'")
        if tensor.rows() != rows:
            raise invalid(f"'{tensor.name}' has {tensor.rows()} rows, and '{tensors[0].name}' has {rows}")
        columns[tensor.name] = tensor.column(fields[tensor.name])
    return check(fields, columns, rows, request_id)


def write(answer: Answer, binary: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """The body of a response, and how many bytes of it are JSON if tensors follow as bytes.

    Args:
        answer: what is answered.
        binary: the outputs that are wanted, and whether as bytes.
    """
    tensors, rest = [], []
    for name, as_bytes in binary.items():
        tensor: dict[str, Any] = {"name": name, "shape": [len(answer.scores), 1], "datatype": datatype(answer, name)}
        if as_bytes:
            content = raw(answer, name)
            tensor["parameters"] = {"binary_data_size": len(content)}
            rest.append(content)
        else:
            tensor["data"] = values(answer, name)
        tensors.append(tensor)
    text = orjson.dumps(
        {"model_name": answer.model, "model_version": answer.version, "id": answer.id, "outputs": tensors}
    )
    return b"".join([text, *rest]), len(text) if rest else None


def datatype(answer: Answer, name: str) -> str:
    """The datatype of an output."""
    return outputs(answer.output)[name]


def values(answer: Answer, name: str) -> list[Any]:
    """An output as a list."""
    if name == answer.output:
        return list(answer.scores)
    return [orjson.dumps(list(names)).decode() for names in (answer.missing if name == MISSING else answer.stale)]


def raw(answer: Answer, name: str) -> bytes:
    """An output as bytes."""
    if name == answer.output:
        return np.asarray(answer.scores, "<f4").tobytes()
    return to_bytes(values(answer, name))


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    length = int(json_length) if json_length.isascii() and json_length.isdecimal() else len(body) + 1
    if length > len(body):
        raise malformed(f"Inference-Header-Content-Length is {json_length[:40]}, and the body has {len(body)} bytes")
    return body[:length], body[length:]


def _tensors(inputs: Sequence[Any], rest: bytes) -> list[Tensor]:
    tensors = []
    at = 0
    for given in inputs:
        tensor = _tensor(given)
        if tensor.values is None:
            size = _binary_size(given)
            if at + size > len(rest):
                raise malformed(f"'{tensor.name}' has {size} bytes of binary data, and {len(rest) - at} are left")
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


def _wanted(asked: Any, parameters: Any, known: Mapping[str, str]) -> dict[str, bool]:
    """The outputs that are wanted, and whether as bytes; all of them if none are named."""
    default = _flag(parameters, "binary_data_output")
    if asked is None:
        return dict.fromkeys(known, default)
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise invalid("outputs has to be a list of objects with a name")
    wanted = {}
    for output in asked:
        name = output.get("name")
        if not isinstance(name, str) or name not in known:
            raise _unknown_output(name, known)
        wanted[name] = _flag(output.get("parameters"), "binary_data", default=default)
    return wanted or dict.fromkeys(known, default)


def _unknown_output(name: Any, known: Mapping[str, str]) -> RefusedError:
    return invalid(f"there is no output {str(name)[:60]!r}; there are {', '.join(known)}")


def _flag(parameters: Any, name: str, *, default: bool = False) -> bool:
    return bool(parameters.get(name, default)) if isinstance(parameters, dict) else default

"""Tensors of the V2 protocol: a column of values as JSON, as protobuf lists or as bytes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loopline.components.serving.protocol.errors import invalid, too_large
from loopline.components.serving.protocol.fields import Field
from loopline.components.serving.protocol.request import MAX_ROWS

BYTES = "BYTES"
_BITS = (8, 16, 32, 64)
_INTEGERS = {f"INT{bits}": f"<i{bits // 8}" for bits in _BITS} | {f"UINT{bits}": f"<u{bits // 8}" for bits in _BITS}
_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_NUMBERS = {**_INTEGERS, **_FLOATS, "BOOL": "?"}
# V2 datatypes that are accepted for a field, by its type in usecase.yaml; the first is the one in the model metadata.
FIELD_DATATYPES = {
    "string": (BYTES,),
    "timestamp": (BYTES,),
    "integer": tuple(_INTEGERS),
    "float": (*_FLOATS, *_INTEGERS),
    "boolean": ("BOOL",),
}


@dataclass(frozen=True)
class Tensor:
    """A named tensor; its content is either ``values`` or, in binary form, ``raw``."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Sequence[Any] | None = None
    raw: bytes | None = None

    def column(self, field: Field) -> list[Any]:
        """The values, one for each row.

        Raises:
            InferenceError: datatype, shape and content do not match the field or each other.
        """
        if self.datatype not in FIELD_DATATYPES[field.type]:
            accepted = " or ".join(FIELD_DATATYPES[field.type])
            raise invalid(f"'{self.name}' has datatype {str(self.datatype)[:20]}, but has to be {accepted}")
        rows = self.rows()
        values = from_bytes(self.name, self.datatype, self.raw, rows) if self.raw is not None else self._listed()
        if len(values) != rows:
            raise invalid(f"'{self.name}' has {len(values)} values, but its shape says {rows}")
        return values

    def rows(self) -> int:
        """The number of rows.

        Raises:
            InferenceError: the shape is neither [rows] nor [rows, 1], or there are too many rows.
        """
        shape = list(self.shape)
        if not 1 <= len(shape) <= 2 or shape[1:] not in ([], [1]) or shape[0] < 0:
            raise invalid(f"'{self.name}' has shape {str(shape)[:40]}, but has to be [rows] or [rows, 1]")
        if shape[0] > MAX_ROWS:
            raise too_large(f"'{self.name}' has {shape[0]:,} rows, and the limit is {MAX_ROWS:,}")
        return int(shape[0])

    def _listed(self) -> list[Any]:
        values = list(self.values or [])
        if len(self.shape) == 2 and values and all(isinstance(value, list) for value in values):
            values = [value for inner in values for value in inner]
        if self.datatype != BYTES:
            return values
        return [self._text(value) for value in values]

    def _text(self, value: Any) -> Any:
        return decode(self.name, value) if isinstance(value, bytes) else value


def from_bytes(name: str, datatype: str, raw: bytes, rows: int) -> list[Any]:
    """The values of a tensor in binary form.

    Raises:
        InferenceError: there are too few bytes, or too many.
    """
    if datatype == BYTES:
        return [decode(name, value) for value in _split_strings(name, raw, rows)]
    if datatype not in _NUMBERS:
        raise invalid(f"'{name}' has datatype {datatype[:20]}, which is not supported")
    kind = np.dtype(_NUMBERS[datatype])
    if len(raw) != rows * kind.itemsize:
        raise invalid(f"'{name}' has {len(raw)} bytes, but its datatype and shape need {rows * kind.itemsize}")
    values: list[Any] = np.frombuffer(raw, kind).tolist()
    return values


def to_bytes(texts: Sequence[str]) -> bytes:
    """Strings in binary form: each after its length."""
    parts = []
    for text in texts:
        encoded = text.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def decode(name: str, value: bytes) -> str:
    """A string from its bytes.

    Raises:
        InferenceError: the bytes are not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"'{name}' is not valid UTF-8: {error.reason} at byte {error.start}") from error


def _split_strings(name: str, raw: bytes, rows: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(raw) and len(found) <= rows:
        length = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + length > len(raw):
            raise invalid(f"'{name}' ends in the middle of a string")
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found

"""Tensors of the V2 protocol: a column of values, as JSON, as protobuf's lists or as bytes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loopline.components.serving.protocol.errors import invalid, too_large
from loopline.components.serving.protocol.request import MAX_ROWS, Field

BYTES = "BYTES"
_INTEGERS = {f"{sign}INT{bits}": f"<{sign.lower()}i{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_INTEGERS = {name: code.replace("ui", "u") for name, code in _INTEGERS.items()}
_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_NUMBERS = {**_INTEGERS, **_FLOATS, "BOOL": "?"}
# Datatypes that a field may come in, by its type in usecase.yaml.
DATATYPES = {
    "string": (BYTES,),
    "timestamp": (BYTES,),
    "integer": tuple(_INTEGERS),
    "float": (*_FLOATS, *_INTEGERS),
    "boolean": ("BOOL",),
}


@dataclass(frozen=True)
class Tensor:
    """A named tensor; its content is either ``values`` or, in the binary form, ``raw``."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Sequence[Any] | None = None
    raw: bytes | None = None

    def column(self, field: Field) -> list[Any]:
        """Its values, one for each row.

        Raises:
            RefusedError: datatype, shape or content do not fit the field or each other.
        """
        if self.datatype not in DATATYPES[field.type]:
            wanted = " or ".join(DATATYPES[field.type])
            raise invalid(f"'{self.name}' has datatype {str(self.datatype)[:20]}, but has to be {wanted}")
        rows = self.rows()
        values = from_bytes(self.name, self.datatype, self.raw, rows) if self.raw is not None else self._listed()
        if len(values) != rows:
            raise invalid(f"'{self.name}' has {len(values)} values, and its shape says {rows}")
        return values

    def rows(self) -> int:
        """Its rows.

        Raises:
            RefusedError: its shape is neither [rows] nor [rows, 1], or there are too many.
        """
        shape = list(self.shape)
        if not 1 <= len(shape) <= 2 or shape[1:] not in ([], [1]) or shape[0] < 0:
            raise invalid(f"'{self.name}' has shape {str(shape)[:40]}, but has to be [rows] or [rows, 1]")
        if shape[0] > MAX_ROWS:
            raise too_large(f"'{self.name}' has {shape[0]:,} rows, and at most {MAX_ROWS:,} are taken at a time")
        return int(shape[0])

    def _listed(self) -> list[Any]:
        values = list(self.values or [])
        if len(self.shape) == 2 and values and all(isinstance(value, list) for value in values):
            values = [value for inner in values for value in inner]
        if self.datatype != BYTES:
            return values
        return [self._text(value) for value in values]

    def _text(self, value: Any) -> Any:
        return decoded(self.name, value) if isinstance(value, bytes) else value


def from_bytes(name: str, datatype: str, raw: bytes, rows: int) -> list[Any]:
    """The values in the binary form of a tensor.

    Raises:
        RefusedError: there are too few bytes, or too many.
    """
    if datatype == BYTES:
        return [decoded(name, value) for value in _strings(name, raw, rows)]
    if datatype not in _NUMBERS:
        raise invalid(f"'{name}' has datatype {datatype[:20]}, which is not known")
    kind = np.dtype(_NUMBERS[datatype])
    if len(raw) != rows * kind.itemsize:
        raise invalid(f"'{name}' has {len(raw)} bytes, and its datatype and shape take {rows * kind.itemsize}")
    values: list[Any] = np.frombuffer(raw, kind).tolist()
    return values


def to_bytes(texts: Sequence[str]) -> bytes:
    """Strings in the binary form: each after its length."""
    parts = []
    for text in texts:
        encoded = text.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def decoded(name: str, value: bytes) -> str:
    """A string from its bytes.

    Raises:
        RefusedError: they are not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"'{name}' holds bytes that are no UTF-8: {error.reason} at byte {error.start}") from error


def _strings(name: str, raw: bytes, rows: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(raw) and len(found) <= rows:
        length = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + length > len(raw):
            raise invalid(f"'{name}' ends in the middle of a string")
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found

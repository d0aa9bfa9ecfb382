"""Reading a column as the type that usecase.yaml declares, without losing a value."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.examples import TIMESTAMP

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}
# Text that CSV readers read as missing. One bad value makes them return the whole column as text, these included.
MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Coerced(NamedTuple):
    """A column as its declared type, null where a value could not be read; and the positions of those values."""

    column: pa.ChunkedArray
    failed: npt.NDArray[np.int64]


def coerce(column: pa.ChunkedArray, declared: str) -> Coerced:
    """Read a column as a declared type: by Arrow's cast if that loses nothing, else value by value from its text.

    A timestamp without a zone is UTC, nanoseconds are cut off, and NaN is a missing number. A number is never read as
    a timestamp: its unit would be a guess. Text is read as ISO 8601 or as a decimal number.

    Raises:
        pyarrow.ArrowException: the column has a type without a text form, such as a list.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if declared == "string":
        return _all_read(column.cast(pa.string()))
    if _casts_as_meant(column.type, declared):
        try:
            values = column.cast(ARROW_TYPES[declared], safe=not _is_nanoseconds(column.type))
            if declared != "timestamp" or _on_calendar(values):
                return _all_read(values)
        except pa.ArrowInvalid:  # at least one value would be lost: read each from its text
            pass
    return _from_text(column.cast(pa.string()), declared)


def _casts_as_meant(given: pa.DataType, declared: str) -> bool:
    """Whether Arrow's cast between these types keeps the meaning; 1 -> true or 3 -> 1970 does not."""
    if pa.types.is_null(given):
        return True
    if declared == "boolean":
        return bool(pa.types.is_boolean(given))
    if declared == "timestamp":
        return bool(pa.types.is_timestamp(given) or pa.types.is_date(given))
    numeric = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)
    return bool(numeric or pa.types.is_boolean(given))


def _is_nanoseconds(given: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(given) and given.unit == "ns")


def _on_calendar(moments: pa.ChunkedArray) -> bool:
    """Whether all lie in the years 1 to 9999, the range of Python's dates and of ISO 8601."""
    inside = pc.and_(pc.greater_equal(moments, _FIRST), pc.less_equal(moments, _LAST))
    return bool(pc.all(inside, min_count=0).as_py())


def _all_read(values: pa.ChunkedArray) -> Coerced:
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return Coerced(values, np.empty(0, dtype=np.int64))


def _from_text(text: pa.ChunkedArray, declared: str) -> Coerced:
    text = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(MISSING_TEXTS))
    text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    target = ARROW_TYPES[declared]
    for form in (target, pa.timestamp("us")) if declared == "timestamp" else (target,):
        try:
            return _all_read(text.cast(form).cast(target))
        except pa.ArrowInvalid:
            continue
    distinct = text.combine_chunks().dictionary_encode()
    parsed = pa.array([_PARSERS[declared](value) for value in distinct.dictionary.to_pylist()], target)
    values = pa.chunked_array([parsed.take(distinct.indices)])
    failed = pc.and_(text.is_valid(), values.is_null()).to_numpy()
    return Coerced(values, np.flatnonzero(failed))


def _integer(text: str) -> int | None:
    """A whole number that fits 64 bits; pandas writes one as 1.0 when others are missing."""
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    fits = -(2**63) <= number < 2**63
    return int(number) if fits and number == number.to_integral_value() else None


def _float(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _boolean(text: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def _timestamp(text: str) -> datetime | None:
    if not _ISO_DATE.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
}

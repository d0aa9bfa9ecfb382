"""Rows that get no prediction, and why."""

import re
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import TIMESTAMP, identity_columns
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.window import parse_time
from loopline.components.errors import LooplineError

REASON = "reason"

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def quarantine_rows(rows: pa.RecordBatch, identity: Sequence[str]) -> pa.RecordBatch:
    """The identity columns as text, null where a column is missing, and ``reason``."""
    columns = [_text(rows.column(name)) if name in rows.schema.names else _no_text(rows) for name in identity]
    return pa.RecordBatch.from_arrays([*columns, _text(rows.column(REASON))], names=[*identity, REASON])


def no_rows(identity: Sequence[str]) -> pa.RecordBatch:
    """No rows, with the schema of `quarantine_rows`."""
    return pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in [*identity, REASON]]))


def invalid_in_window(invalid: Dataset, spec: UseCaseSpec, start: datetime) -> list[pa.RecordBatch]:
    """The entity rows that data validation quarantined, except those that are known to lie before the window.

    Validation also reads the lookback before the window. A row without a readable timestamp may belong to the window
    and is included.

    Raises:
        LooplineError: the quarantine has no table of that entity, or no column of reasons.
    """
    table = invalid.read(spec.entity.table)
    if REASON not in table.column_names:
        raise LooplineError(f"{invalid.file(spec.entity.table)} is not a quarantine: it has no column '{REASON}'")
    if spec.entity.timestamp in table.column_names:
        table = table.filter(pc.invert(_before(table.column(spec.entity.timestamp).combine_chunks(), start)))
    return [quarantine_rows(batch, identity_columns(spec)) for batch in table.to_batches()]


def _before(column: pa.Array, start: datetime) -> pa.Array:
    """Whether each timestamp is readable and before ``start``; without a zone it is UTC, and numbers are not read."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        moments = column.cast(TIMESTAMP, safe=False)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        moments = pa.array([_moment(text) for text in column.to_pylist()], TIMESTAMP)
    else:
        moments = pa.nulls(len(column), TIMESTAMP)
    return pc.less(moments, pa.scalar(start, TIMESTAMP)).fill_null(False)


def _moment(text: str | None) -> datetime | None:
    if text is None or not _ISO_DATE.match(text.strip()):
        return None
    try:
        return parse_time(text.strip())
    except (LooplineError, OverflowError):
        return None


def _text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a list, or bytes that are not UTF-8
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def _no_text(rows: pa.RecordBatch) -> pa.Array:
    return pa.nulls(len(rows), pa.string())

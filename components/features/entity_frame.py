"""The entity rows of a point-in-time join: an Arrow table whose timestamps are microseconds in UTC."""

import pandas as pd
import pyarrow as pa

from loopline.components.contract.examples import TIMESTAMP
from loopline.components.errors import LooplineError

EVENT_TIMESTAMP = "event_timestamp"


def read(entity_df: pd.DataFrame | pa.Table | str | None) -> tuple[pa.Table, str, pa.ChunkedArray]:
    """Read an entity frame.

    Args:
        entity_df: a pandas frame or, without a copy, an Arrow table. Its timestamp is the column ``event_timestamp`` or
            else the only one of a timestamp type. Text is read as a timestamp; without a zone it is in UTC.

    Returns:
        The rows, the name of their timestamp, and the timestamps as timestamp[us, UTC] (finer ones are cut off).

    Raises:
        LooplineError: it is no such frame, or has no timestamp.
    """
    rows = _table(entity_df)
    timestamp = _timestamp_column(rows)
    moments = _moments(rows, timestamp)
    if not pa.types.is_timestamp(rows.schema.field(timestamp).type):
        rows = rows.set_column(rows.schema.get_field_index(timestamp), timestamp, moments)
    return rows, timestamp, moments


def _table(entity_df: pd.DataFrame | pa.Table | str | None) -> pa.Table:
    if isinstance(entity_df, pa.Table):
        return entity_df
    if isinstance(entity_df, pd.DataFrame):
        try:
            return pa.Table.from_pandas(entity_df, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise LooplineError(f"the entity frame has a column of mixed types: {error}") from error
    given = "a query" if isinstance(entity_df, str) else f"{type(entity_df).__name__}"
    raise LooplineError(
        f"the entity rows were given as {given}, but this store reads files and has no tables to query; "
        "give a pandas DataFrame or an Arrow table with the join keys and an event_timestamp"
    )


def _timestamp_column(rows: pa.Table) -> str:
    if EVENT_TIMESTAMP in rows.column_names:
        return EVENT_TIMESTAMP
    found = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
    if len(found) != 1:
        raise LooplineError(
            f"the entity rows have {len(found)} columns that could be their timestamp; "
            f"name one of them {EVENT_TIMESTAMP}"
        )
    return str(found[0])


def _moments(rows: pa.Table, column: str) -> pa.ChunkedArray:
    """The timestamps of the rows in microseconds, UTC; finer ones are cut off, those without a zone are in UTC."""
    values = rows.column(column)
    if not pa.types.is_timestamp(values.type):
        try:
            parsed = pd.to_datetime(values.to_pandas(), utc=True)
        except (ValueError, TypeError) as error:
            raise LooplineError(f"column {column} of the entity rows holds no timestamps: {error}") from error
        values = pa.chunked_array([pa.Array.from_pandas(parsed)])
    return values.cast(pa.timestamp(values.type.unit, TIMESTAMP.tz)).cast(TIMESTAMP, safe=False)

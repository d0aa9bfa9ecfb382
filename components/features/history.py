"""Feature history in Parquet files: the latest row of each key, or all rows of an interval.

A row of history holds the values that were known from its event timestamp on. Rows of one key supersede each other in
the order of (event timestamp, created timestamp, row number in the file), so the result is deterministic.
Timestamps are compared in whole microseconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from loopline.components.errors import LooplineError
from loopline.components.features.connection import connect, first_line, name, text


@dataclass(frozen=True)
class History:
    """The history of a feature view.

    Attributes:
        path: Parquet file or glob.
        timestamp: column of the event timestamp; one without a zone is in UTC.
        created: column of the created timestamp, which breaks ties; a row without one is superseded.
    """

    path: str
    timestamp: str
    created: str | None = None

    @property
    def rows(self) -> str:
        """SQL for its rows, each with its number as ``file_row_number``."""
        return f"read_parquet({text(self.path)}, file_row_number = true)"

    @property
    def since(self) -> str:
        """SQL for the event timestamp of a row."""
        return f"{name(self.timestamp)}::timestamptz"

    def within(self, start: datetime | None, end: datetime | None) -> str:
        """SQL for the condition that a row is in ``[start, end]``; None is no bound."""
        bounds = [f"{self.since} >= timestamptz {text(start.isoformat())}"] if start else []
        bounds += [f"{self.since} <= timestamptz {text(end.isoformat())}"] if end else []
        return " and ".join([f"{self.since} is not null", *bounds])

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of DuckDB in the block into one sentence about this history."""
        try:
            yield
        except duckdb.Error as error:
            raise LooplineError(f"the feature history {self.path} cannot be read: {first_line(error)}") from error


def latest(
    history: History, keys: Sequence[str], columns: Sequence[str], start: datetime | None, end: datetime | None
) -> pa.Table:
    """The latest row of each key within ``[start, end]``, in the order of the keys; without keys, the latest row.

    Raises:
        LooplineError: the history is missing or lacks a column.
    """
    newest = [f"{history.since} desc", "file_row_number desc"]
    if history.created:
        newest.insert(1, f"{name(history.created)} desc nulls last")
    partition = f"partition by {listed(keys)}" if keys else ""
    return _read(
        history,
        f"select {listed(columns)} from {history.rows} where {history.within(start, end)}"
        f" qualify row_number() over ({partition} order by {', '.join(newest)}) = 1"
        f" order by {listed(keys) if keys else 'all'}",
    )


def between(history: History, columns: Sequence[str], start: datetime | None, end: datetime | None) -> pa.Table:
    """All rows within ``[start, end]``, by event timestamp and then in the order of the file.

    Raises:
        LooplineError: the history is missing or lacks a column.
    """
    return _read(
        history,
        f"select {listed(columns)} from {history.rows} where {history.within(start, end)}"
        f" order by {history.since}, file_row_number",
    )


def listed(columns: Iterable[str]) -> str:
    """Columns as a list in SQL."""
    return ", ".join(name(column) for column in columns)


def _read(history: History, query: str) -> pa.Table:
    with connect() as connection, history.explained():
        return connection.sql(query).to_arrow_table()

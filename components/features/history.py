"""Reading feature history from Parquet files: as it stood at given moments, the latest of each key, or a stretch.

A row of history says which values could be known from its event timestamp on. Rows of one key supersede each other
in the order of (event timestamp, created timestamp, place in the file), so what is found never depends on chance.
Moments are compared in whole microseconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.contract.errors import LooplineError
from components.features.connection import connect, first_line, name, text

# More rows than a file can have: (event timestamp, place) packs into one 128-bit number, which sorts fastest.
PLACES = 2**62


@dataclass(frozen=True)
class History:
    """Where the history of a feature view lies.

    Attributes:
        path: Parquet file or glob.
        timestamp: column of the event timestamp; one without a zone is in UTC.
        created: column of the created timestamp, which breaks ties; a row without one loses.
    """

    path: str
    timestamp: str
    created: str | None = None


@dataclass(frozen=True)
class Lookup:
    """What to look up in a history.

    Attributes:
        history: where.
        keys: column of the asking rows -> column of the history; none, if there is one entity only.
        features: name in the answer -> column of the history.
        ttl: an older value counts as none; None or zero: values live for ever.
        known_only: a value counts from its created timestamp on, if that is later than its event timestamp.
    """

    history: History
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta | None = None
    known_only: bool = False


def as_of(rows: pa.Table, moments: pa.ChunkedArray, lookups: Sequence[Lookup]) -> pa.Table:
    """Look up what was known at the moment of each row: never a later value, and one answer per row, in order.

    Args:
        rows: the asking rows, with the key columns.
        moments: timestamp[us, UTC], one per row; where it is null, nothing was known.
        lookups: what to look up.

    Returns:
        The values of all lookups in order, as many rows as asked. Null where nothing was known.

    Raises:
        LooplineError: a history is missing, lacks a column, or has keys of another type.
    """
    keys = {key: rows.column(key) for lookup in lookups for key in lookup.keys}
    asking = pa.table({**keys, "__moment": moments, "__row": np.arange(rows.num_rows)})
    bounds = pc.min_max(moments)
    columns: dict[str, pa.ChunkedArray] = {}
    with connect() as connection:
        connection.register("asking", asking)
        for lookup in lookups:
            with _blaming(lookup.history):
                found = connection.sql(_as_of(lookup, bounds["min"].as_py(), bounds["max"].as_py())).to_arrow_table()
            if found.num_rows != rows.num_rows:
                raise AssertionError(f"{rows.num_rows} rows asked {lookup.history.path}, {found.num_rows} came back")
            columns.update(zip(lookup.features, found.columns, strict=True))
    return pa.table(columns)


def latest(
    history: History, keys: Sequence[str], columns: Sequence[str], start: datetime | None, end: datetime | None
) -> pa.Table:
    """The latest row of each key within ``[start, end]``, both ends included, in the order of the keys.

    Raises:
        LooplineError: the history is missing or lacks a column.
    """
    order = [f"{_since(history)} desc", "file_row_number desc"]
    if history.created:
        order.insert(1, f"{name(history.created)} desc nulls last")
    partition = f"partition by {_listed(keys)}" if keys else ""
    return _rows(
        history,
        f"select {_listed(columns)} from {_file(history)} {_within(history, start, end)}"
        f" qualify row_number() over ({partition} order by {', '.join(order)}) = 1"
        f" order by {_listed(keys) if keys else 'all'}",
    )


def between(history: History, columns: Sequence[str], start: datetime | None, end: datetime | None) -> pa.Table:
    """All rows within ``[start, end]``, both ends included, by event timestamp and then in the order of the file.

    Raises:
        LooplineError: the history is missing or lacks a column.
    """
    return _rows(
        history,
        f"select {_listed(columns)} from {_file(history)} {_within(history, start, end)}"
        f" order by {name(history.timestamp)}, file_row_number",
    )


def _rows(history: History, query: str) -> pa.Table:
    with connect() as connection, _blaming(history):
        return connection.sql(query).to_arrow_table()


def _as_of(lookup: Lookup, earliest: datetime | None, latest: datetime | None) -> str:
    asked, known = _orders(lookup)
    keys = "".join(f"asked.{name(ours)} = known.{name(theirs)} and " for ours, theirs in lookup.keys.items())
    alive = "true"
    if lookup.ttl:
        alive = f"epoch_us(__moment) - epoch_us(__since) <= {lookup.ttl // timedelta(microseconds=1)}"
        earliest = earliest - lookup.ttl if earliest else None
    values = ", ".join(f"case when {alive} then known.{name(column)} end" for column in lookup.features.values())
    columns = dict.fromkeys([*lookup.keys.values(), *lookup.features.values()])
    source = lookup.history
    return f"""
        with asked as (select *, {asked} as __order from asking),
        known as (
            select {_listed(columns)}, {_since(source)} as __since, {known} as __order
            from {_file(source)} {_within(source, earliest if lookup.ttl else None, latest)}
            {_superseding(lookup)}
        )
        select {values} from asked asof left join known on {keys} asked.__order >= known.__order
        order by __row
    """


def _orders(lookup: Lookup) -> tuple[str, str]:
    """SQL for the last order that a moment may see, and for the order of a row of history."""
    source = lookup.history
    if not source.created:
        packed = f"epoch_us({{}})::hugeint * {PLACES} + {{}}"
        return packed.format("__moment", PLACES - 1), packed.format(_since(source), "file_row_number")
    last = [f"'infinity'::timestamptz, {PLACES}::bigint"]
    if lookup.known_only:
        last.insert(0, "'infinity'::timestamptz")
    seen = f"case when __moment is not null then row(__moment, {', '.join(last)}) end"
    return seen, f"row({_visible(source)}, {_rank(source)})" if lookup.known_only else f"row({_rank(source)})"


def _superseding(lookup: Lookup) -> str:
    """SQL that keeps the rows which, at the moment they became visible, were the newest of their key."""
    source = lookup.history
    if not (lookup.known_only and source.created):
        return ""
    partition = f"partition by {_listed(lookup.keys.values())}" if lookup.keys else ""
    rank = f"row({_rank(source)})"
    order = f"{_visible(source)}, {rank}"
    return (
        f"and {name(source.created)} is not null qualify {rank} >= max({rank}) over"
        f" ({partition} order by {order} rows between unbounded preceding and current row)"
    )


def _rank(history: History) -> str:
    created = f"coalesce({name(history.created or '')}::timestamptz, '-infinity')"
    return f"{_since(history)}, {created}, file_row_number"


def _visible(history: History) -> str:
    return f"greatest({_since(history)}, {name(history.created or '')}::timestamptz)"


def _since(history: History) -> str:
    return f"{name(history.timestamp)}::timestamptz"


def _file(history: History) -> str:
    return f"read_parquet({text(history.path)}, file_row_number = true)"


def _within(history: History, start: datetime | None, end: datetime | None) -> str:
    column = _since(history)
    bounds = [f"{column} >= timestamptz {text(start.isoformat())}"] if start else []
    bounds += [f"{column} <= timestamptz {text(end.isoformat())}"] if end else []
    return "where " + " and ".join([f"{column} is not null", *bounds])


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(name(column) for column in columns)


@contextmanager
def _blaming(history: History) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise LooplineError(f"the feature history {history.path} cannot be read: {first_line(error)}") from error

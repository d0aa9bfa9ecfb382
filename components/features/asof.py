"""The point-in-time join by DuckDB's ASOF JOIN: for each entity row, the values that were known at its timestamp."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.features.connection import connect, name
from loopline.components.features.history import History

# More rows than a file can have: (event timestamp, row number) packs into one 128-bit number, which sorts fastest.
MAX_ROWS = 2**62
# The type of a key's number on both sides of the join: a cast would cost a third of the join's time.
NUMBER = np.int32


@dataclass(frozen=True)
class Lookup:
    """What to look up in a history.

    Attributes:
        history: the history.
        keys: column of the entity rows -> column of the history; empty if there is only one entity.
        features: name in the result -> column of the history.
        ttl: an older value is null; None or zero: values never expire.
        known_only: a value counts from its created timestamp on, if that is later than its event timestamp.
    """

    history: History
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta | None = None
    known_only: bool = False

    @property
    def by_creation(self) -> bool:
        """Whether the created timestamp decides what was known."""
        return self.known_only and self.history.created is not None


def as_of(rows: pa.Table, moments: pa.ChunkedArray, lookups: Sequence[Lookup]) -> pa.Table:
    """Look up what was known at the timestamp of each row: never a later value, and one result per row, in order.

    Args:
        rows: the entity rows, with the key columns.
        moments: timestamp[us, UTC], one per row; a null one gets null features.
        lookups: what to look up.

    Returns:
        The features of all lookups in order, a row for each entity row. Null where nothing was known.

    Raises:
        LooplineError: a history is missing, lacks a column, or has keys of another type.
    """
    bounds = pc.min_max(moments)
    earliest, latest = bounds["min"].as_py(), bounds["max"].as_py()
    numbered: dict[tuple[str, ...], tuple[pa.Array, pa.Table]] = {}
    columns: dict[str, pa.ChunkedArray] = {}
    with connect() as connection:
        for lookup in lookups:
            keys = tuple(lookup.keys)
            if keys not in numbered:
                numbered[keys] = _number(rows, keys)
            numbers, distinct = numbered[keys]
            entities = {"__key": numbers, "moment": moments, "row": np.arange(rows.num_rows)}
            connection.register("entities", pa.table(entities))
            connection.register("keys", distinct)
            with lookup.history.explained():
                found = connection.sql(_query(lookup, earliest, latest)).to_arrow_table()
            if found.num_rows != rows.num_rows:
                raise AssertionError(f"{rows.num_rows} rows joined with {lookup.history.path} became {found.num_rows}")
            columns.update(zip(lookup.features, found.columns, strict=True))
    return pa.table(columns)


def _number(rows: pa.Table, keys: Sequence[str]) -> tuple[pa.Array, pa.Table]:
    """Number the distinct keys: numbers compare faster than text, and history of other keys drops out early.

    Returns:
        The number of each row's key, null where a part of it is; and the distinct keys, ``__part_<n>`` by ``__key``.
    """
    parts = [rows.column(key).combine_chunks().dictionary_encode() for key in keys]
    if len(parts) == 1:
        (part,) = parts
        distinct = {"__part_0": part.dictionary, "__key": np.arange(len(part.dictionary), dtype=NUMBER)}
        return part.indices, pa.table(distinct)
    numbers = np.zeros(rows.num_rows, np.int64)
    whole = np.ones(rows.num_rows, np.bool_)
    for part in parts:
        absent = len(part.dictionary)  # a null counts as a value of its own here, so as not to pass for another
        numbers = numbers * (absent + 1) + part.indices.fill_null(absent).to_numpy()
        numbers = np.unique(numbers, return_inverse=True)[1]
        whole &= part.is_valid().to_numpy(zero_copy_only=False)
    first = pa.array(np.unique(numbers, return_index=True)[1])
    distinct = {f"__part_{n}": rows.column(key).take(first) for n, key in enumerate(keys)}
    distinct["__key"] = np.arange(len(first), dtype=NUMBER)
    return pa.array(numbers.astype(NUMBER), mask=~whole), pa.table(distinct)


def _query(lookup: Lookup, earliest: datetime | None, latest: datetime | None) -> str:
    history = lookup.history
    seen, order = _orders(lookup)
    same_key = " and ".join(f"__part_{n} = {name(column)}" for n, column in enumerate(lookup.keys.values()))
    alive = "true"
    if lookup.ttl:
        alive = f"epoch_us(moment) - epoch_us(since) <= {lookup.ttl // timedelta(microseconds=1)}"
    start = earliest - lookup.ttl if earliest and lookup.ttl else None
    answer = ", ".join(f"case when {alive} then feature_{n} end" for n in range(len(lookup.features)))
    features = [f"{name(column)} as feature_{n}" for n, column in enumerate(lookup.features.values())]
    return f"""
        with asked as (select *, {seen} as seen from entities),
        known as (
            select __key, {history.since} as since, {order} as known_order, {", ".join(features)}
            from {history.rows} join keys on {same_key or "true"}
            where {history.within(start, latest)} {_superseding(lookup)}
        )
        select {answer} from asked asof left join known
        on asked.__key = known.__key and asked.seen >= known.known_order
        order by row
    """


def _orders(lookup: Lookup) -> tuple[str, str]:
    """SQL for the greatest order that is visible at a timestamp, and for the order of a row of history."""
    history = lookup.history
    if not history.created:
        packed = f"epoch_us({{}})::hugeint * {MAX_ROWS} + {{}}"
        return packed.format("moment", MAX_ROWS - 1), packed.format(history.since, "file_row_number")
    last = f"'infinity'::timestamptz, {MAX_ROWS}::bigint"
    if lookup.by_creation:
        seen, order = f"row(moment, 'infinity'::timestamptz, {last})", f"row({_visible(lookup)}, {_rank(lookup)})"
    else:
        seen, order = f"row(moment, {last})", f"row({_rank(lookup)})"
    return f"case when moment is not null then {seen} end", order


def _superseding(lookup: Lookup) -> str:
    """SQL that keeps the rows which, when they became visible, were the newest of their key."""
    if not lookup.by_creation:
        return ""
    rank = f"row({_rank(lookup)})"
    return (
        f"and {name(lookup.history.created or '')} is not null qualify {rank} >= max({rank}) over (partition by __key"
        f" order by {_visible(lookup)}, {rank} rows between unbounded preceding and current row)"
    )


def _rank(lookup: Lookup) -> str:
    created = f"coalesce({name(lookup.history.created or '')}::timestamptz, '-infinity')"
    return f"{lookup.history.since}, {created}, file_row_number"


def _visible(lookup: Lookup) -> str:
    return f"greatest({lookup.history.since}, {name(lookup.history.created or '')}::timestamptz)"

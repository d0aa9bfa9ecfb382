"""The as-of join against an oracle in plain Python that does what the words say, row by row."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopline.components.errors import LooplineError
from loopline.components.features.asof import Lookup, as_of
from loopline.components.features.history import History, between, latest

TIMESTAMP = pa.timestamp("us", tz="UTC")
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def minute(number: int | None) -> datetime | None:
    return None if number is None else NOON + timedelta(minutes=number)


def at(*minutes: int | None) -> pa.Array:
    return pa.array([minute(number) for number in minutes], TIMESTAMP)


@dataclass(frozen=True)
class Row:
    key: str | None
    since: int | None
    created: int | None
    value: int | None


moments = st.none() | st.integers(-1, 6)
rows = st.builds(Row, st.sampled_from(["ax", "ay", "bx", None]), moments, moments, st.none() | st.integers(0, 99))
questions = st.tuples(st.sampled_from(["ax", "ay", "bx", "by", None]), moments)


def oracle(
    history: list[Row], question: tuple[str | None, int | None], ttl: int | None, known_only: bool
) -> int | None:
    key, moment = question
    if key is None or moment is None:
        return None
    candidates = [
        (row.since, -99 if row.created is None else row.created, place, row.value)
        for place, row in enumerate(history)
        if row.key == key
        and row.since is not None
        and row.since <= moment
        and (not known_only or (row.created is not None and row.created <= moment))
    ]
    if not candidates:
        return None
    since, _, _, value = max(candidates, key=lambda candidate: candidate[:3])
    return value if not ttl or moment - since <= ttl else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


def keyed(keys: list[str | None]) -> dict[str, pa.Array]:
    """A key in one column, and the same in two."""
    letters = {"who": slice(None), "first": slice(1), "second": slice(1, None)}
    return {
        column: pa.array([None if key is None else key[part] for key in keys], pa.string())
        for column, part in letters.items()
    }


def write(path: Path, history: list[Row], resolution: pa.DataType = TIMESTAMP) -> None:
    table = {
        **keyed([row.key for row in history]),
        "at": at(*[row.since for row in history]).cast(resolution),
        "noted": at(*[row.created for row in history]).cast(resolution),
        "value": pa.array([row.value for row in history], pa.int64()),
    }
    pq.write_table(pa.table(table), path)


def ask(asked: list[tuple[str | None, int | None]]) -> tuple[pa.Table, pa.ChunkedArray]:
    moments = pa.chunked_array([at(*[moment for _, moment in asked])])
    return pa.table(keyed([key for key, _ in asked])), moments


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(rows, max_size=20),
    asked=st.lists(questions, max_size=20),
    ttl=st.none() | st.integers(0, 4),
    keys=st.sampled_from([{"who": "who"}, {"first": "first", "second": "second"}]),
    created=st.booleans(),
    known_only=st.booleans(),
    resolution=st.sampled_from([TIMESTAMP, pa.timestamp("ns"), pa.timestamp("ms", tz="America/New_York")]),
)
def test_as_of_is_what_the_oracle_says(
    folder: Path,
    history: list[Row],
    asked: list[tuple[str | None, int | None]],
    ttl: int | None,
    keys: dict[str, str],
    created: bool,
    known_only: bool,
    resolution: pa.DataType,
) -> None:
    path = folder / "history.parquet"
    write(path, history, resolution)
    limit = None if ttl is None else timedelta(minutes=ttl)
    source = History(str(path), "at", "noted" if created else None)
    lookup = Lookup(source, keys, {"value": "value"}, limit, known_only)

    answer = as_of(*ask(asked), [lookup])

    seen = history if created else [replace(row, created=row.since) for row in history]
    assert answer.column("value").to_pylist() == [oracle(seen, question, ttl, known_only) for question in asked]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(rows, max_size=12), start=st.integers(-1, 6), length=st.integers(0, 6))
def test_latest_and_between_are_what_the_oracle_says(folder: Path, history: list[Row], start: int, length: int) -> None:
    path = folder / "stretch.parquet"
    write(path, history)
    source, end = History(str(path), "at", "noted"), start + length
    within = [row for row in history if row.since is not None and start <= row.since <= end]

    found = latest(source, ["who"], ["who", "value"], minute(start), minute(end))

    newest: dict[str | None, int | None] = {}
    for row in sorted(within, key=lambda row: (row.since, -99 if row.created is None else row.created)):
        newest[row.key] = row.value
    assert dict(zip(found["who"].to_pylist(), found["value"].to_pylist(), strict=True)) == newest
    whole = between(source, ["value"], minute(start), minute(end))
    assert whole["value"].to_pylist() == [row.value for row in sorted(within, key=lambda row: row.since or 0)]


@pytest.mark.parametrize("ttl", [None, 3])
@pytest.mark.parametrize("keys", [["who"], ["first", "second"]])
@pytest.mark.parametrize(("created", "known_only"), [(False, False), (True, False), (True, True)])
def test_crowded_histories_are_what_the_oracle_says(
    folder: Path, created: bool, known_only: bool, keys: list[str], ttl: int | None
) -> None:
    """Many ties, late rows that are older than what was known, and rows that are never known."""
    random = Random(7)
    minutes = [None, *range(12)]
    history = [
        Row(random.choice(["ax", "ay", "bx", None]), random.choice(minutes), random.choice(minutes), value)
        for value in range(90)
    ]
    asked = [(random.choice(["ax", "ay", "bx", "by", None]), random.choice(minutes)) for _ in range(300)]
    path = folder / "crowded.parquet"
    write(path, history)
    source = History(str(path), "at", "noted" if created else None)
    limit = timedelta(minutes=ttl) if ttl else None

    answer = as_of(*ask(asked), [Lookup(source, {key: key for key in keys}, {"value": "value"}, limit, known_only)])
    newest = latest(source, keys, ["who", "value"], minute(2), minute(8))

    seen = history if created else [replace(row, created=row.since) for row in history]
    assert answer["value"].to_pylist() == [oracle(seen, question, ttl, known_only) for question in asked]
    within = [row for row in seen if row.since is not None and row.since >= 2]
    found = {row["who"]: row["value"] for row in newest.to_pylist() if row["who"]}
    assert found == {key: oracle(within, (key, 8), None, False) for key in ("ax", "ay", "bx")}


def test_a_value_counts_at_exactly_its_ttl_and_not_a_microsecond_later(folder: Path) -> None:
    path = folder / "edge.parquet"
    write(path, [Row("a", 0, None, 7)])
    lookup = Lookup(History(str(path), "at"), {"who": "who"}, {"value": "value"}, timedelta(minutes=2))
    moments = [NOON + timedelta(minutes=2), NOON + timedelta(minutes=2, microseconds=1)]
    answer = as_of(pa.table({"who": ["a", "a"]}), pa.chunked_array([pa.array(moments, TIMESTAMP)]), [lookup])
    assert answer["value"].to_pylist() == [7, None]


def test_views_without_a_key_and_odd_column_names_can_be_looked_up(folder: Path) -> None:
    path = folder / 'it\'s "odd".parquet'
    pq.write_table(pa.table({"at": at(0, 2), 'sel"ect': [1, 2]}), path)
    lookup = Lookup(History(str(path), "at"), {}, {"value": 'sel"ect'})
    answer = as_of(*ask([("a", 1), (None, 2), ("b", -1)]), [lookup])
    assert answer["value"].to_pylist() == [1, 2, None]


def test_several_lookups_give_their_columns_in_order(folder: Path) -> None:
    path = folder / "several.parquet"
    write(path, [Row("a", 0, 0, 1), Row("b", 0, 0, 2)])
    rows = pa.table({"home": ["a", "b"], "away": ["b", "x"]})
    lookups = [Lookup(History(str(path), "at"), {key: "who"}, {key: "value"}) for key in ("home", "away")]
    answer = as_of(rows, pa.chunked_array([pa.array([NOON, NOON], TIMESTAMP)]), lookups)
    assert answer.to_pydict() == {"home": [1, 2], "away": [2, None]}


@pytest.mark.parametrize("created", [None, "seen"])
def test_a_history_may_use_the_names_that_we_use(folder: Path, created: str | None) -> None:
    path = folder / "names.parquet"
    columns = {"number": [1], "row": ["x"], "keys": ["k"], "asked": [2], "known": [3], "entities": [4], "order": [5]}
    pq.write_table(pa.table({**columns, "since": at(0), "seen": at(0)}), path)
    wanted = {f"answer {column}": column for column in ("asked", "known", "entities", "order", "since", "seen", "row")}
    lookup = Lookup(History(str(path), "since", created), {"moment": "number", "number": "row", "keys": "keys"}, wanted)
    rows = pa.table({"moment": [1, 1, 1], "number": ["x", "x", None], "keys": ["k", "other", "k"]})
    moments = pa.chunked_array([pa.array([NOON] * 3, TIMESTAMP)])
    first, *others = as_of(rows, moments, [replace(lookup, known_only=True)]).to_pylist()
    assert first == dict(zip(wanted, [2, 3, 4, 5, NOON, NOON, "x"], strict=True))
    assert others == [dict.fromkeys(wanted)] * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": "nowhere.parquet"}, "nowhere.parquet"),
        ({"timestamp": "absent"}, "absent"),
    ],
)
def test_a_history_that_cannot_be_read_is_one_sentence(folder: Path, change: dict[str, str], says: str) -> None:
    path = folder / "bad.parquet"
    write(path, [Row("a", 0, 0, 1)])
    source = History(**{"path": str(path), "timestamp": "at", **change})
    with pytest.raises(LooplineError, match=f"history .* cannot be read: .*{says}"):
        as_of(*ask([("a", 1)]), [Lookup(source, {"who": "who"}, {"value": "value"})])


def test_a_truncated_history_is_one_sentence(folder: Path) -> None:
    path = folder / "cut.parquet"
    write(path, [Row("a", 0, 0, 1)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LooplineError, match=r"cut\.parquet cannot be read"):
        as_of(*ask([("a", 1)]), [Lookup(History(str(path), "at"), {"who": "who"}, {"value": "value"})])

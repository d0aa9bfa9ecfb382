"""Reading columns as their declared types: nothing lost, nothing guessed."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.data.coerce import ARROW_TYPES, coerce

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def read(values: list[Any], declared: str, given: pa.DataType | None = None) -> tuple[list[Any], list[int]]:
    column, failed = coerce(pa.chunked_array([pa.array(values, given)]), declared)
    assert column.type == ARROW_TYPES[declared]
    return column.to_pylist(), failed.tolist()


@pytest.mark.parametrize(
    ("values", "given", "declared", "expected"),
    [
        ([1, None], pa.int32(), "integer", [1, None]),
        ([1.0, None], pa.float64(), "integer", [1, None]),
        ([Decimal("2.00")], None, "integer", [2]),
        ([True, False], None, "integer", [1, 0]),
        (["1", " 2.0 ", "3e2", "NA", ""], None, "integer", [1, 2, 300, None, None]),
        ([1, None], pa.int64(), "float", [1.0, None]),
        ([1.5, float("nan")], None, "float", [1.5, None]),
        ([2**60 + 1], pa.int64(), "float", [float(2**60)]),
        (["1.5", "nan", "-2E1"], None, "float", [1.5, None, -20.0]),
        (["true", "False", "1", "0"], None, "boolean", [True, False, True, False]),
        ([1, 0], pa.int64(), "boolean", [True, False]),
        ([1.0, 2.5], None, "string", ["1", "2.5"]),
        ([NOON.replace(tzinfo=None)], pa.timestamp("s"), "timestamp", [NOON]),
        ([NOON], pa.timestamp("ms", "America/New_York"), "timestamp", [NOON]),
        ([date(2024, 3, 1)], None, "timestamp", [NOON.replace(hour=0)]),
        (["2024-03-01 12:00", "2024-03-01T13:00+01:00", "2024-03-01T12:00:00Z"], None, "timestamp", [NOON] * 3),
        ([None, None], pa.null(), "timestamp", [None, None]),
    ],
)
def test_values_that_can_be_read_are(values: list[Any], given: pa.DataType, declared: str, expected: list[Any]) -> None:
    assert read(values, declared, given) == (expected, [])


@pytest.mark.parametrize(
    ("values", "given", "declared", "expected", "failed"),
    [
        ([1.0, 1.5], None, "integer", [1, None], [1]),
        (["7", "seven", None, "1_000"], None, "integer", [7, None, None, None], [1, 3]),
        ([2**63], pa.uint64(), "integer", [None], [0]),
        (["1e400", "1e99999999999"], None, "integer", [None, None], [0, 1]),
        (["0.5", "half"], None, "float", [0.5, None], [1]),
        ([0, 2], pa.int64(), "boolean", [False, None], [1]),
        ([1709294400], pa.int64(), "timestamp", [None], [0]),
        (["2024-03-01", "01/03/2024", "20240301", "2024-02-30"], None, "timestamp", [None] * 4, [1, 2, 3]),
        ([2**60], pa.timestamp("us"), "timestamp", [None], [0]),
        ([2**50], pa.timestamp("s"), "timestamp", [None], [0]),
    ],
)
def test_values_that_cannot_be_read_are_told_from_missing_ones(
    values: list[Any], given: pa.DataType, declared: str, expected: list[Any], failed: list[int]
) -> None:
    column, positions = read(values, declared, given)
    assert positions == failed
    assert [column[i] for i in failed] == [None] * len(failed)
    if declared != "timestamp":
        assert column == expected


def test_a_nanosecond_is_cut_to_its_microsecond() -> None:
    assert read([1_001], "timestamp", pa.timestamp("ns")) == ([datetime(1970, 1, 1, 0, 0, 0, 1, UTC)], [])


def test_a_dictionary_is_its_values() -> None:
    column, failed = coerce(pa.chunked_array([pa.array(["a", None, "a"]).dictionary_encode()]), "string")
    assert (column.to_pylist(), failed.size) == (["a", None, "a"], 0)


def test_a_list_has_no_text() -> None:
    with pytest.raises(pa.ArrowException):
        read([[1]], "integer")


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), st.booleans())
def test_integers_survive_text_exactly(numbers: list[int | None], with_junk: bool) -> None:
    texts = [None if number is None else str(number) for number in numbers] + (["junk"] if with_junk else [])
    column, failed = read(texts, "integer", pa.string())
    assert column[: len(numbers)] == numbers
    assert failed == ([len(numbers)] if with_junk else [])


@given(st.lists(st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC))), st.booleans())
def test_moments_survive_text_exactly(moments: list[datetime], with_junk: bool) -> None:
    texts = [moment.isoformat() for moment in moments] + (["junk"] if with_junk else [])
    column, failed = read(texts, "timestamp", pa.string())
    assert column[: len(moments)] == moments
    assert failed == ([len(moments)] if with_junk else [])

"""Questions: what is taken, what is refused and how the refusal names it."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_case import Served, instance

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.components.serving.protocol import v1
from loopline.components.serving.protocol.errors import InferenceError
from loopline.components.serving.protocol.fields import Field, request_fields
from loopline.components.serving.protocol.request import MAX_ROWS, InferenceRequest, validate

MISSING = ...


@pytest.fixture(scope="module")
def known(served: Served) -> dict[str, Field]:
    return request_fields(usecase.load(served.package).spec, ["line", "driver"])


def ask(known: dict[str, Field], *instances: Any) -> InferenceRequest:
    return v1.read(orjson.dumps({"instances": instances}), known, None)


def test_fields_are_keys_time_request_features_and_join_keys(known: dict[str, Field]) -> None:
    assert list(known) == ["line", "trip", "departs_at", "signal", "stop", "driver"]
    assert [name for name, field in known.items() if not field.required] == ["signal", "driver"]


def test_values_come_as_their_types_say(known: dict[str, Field]) -> None:
    request = ask(known, instance(trip=7.0, signal=3), instance(signal=None, driver=MISSING))
    assert request.rows == 2
    assert request.columns["trip"] == [7, 7]
    assert request.columns["signal"] == [3.0, None]
    assert request.columns["driver"] == ["Kim", None]
    assert request.columns["departs_at"][0] == datetime(2024, 3, 20, 12, 10, tzinfo=UTC)


def test_a_time_without_a_zone_is_in_the_use_cases(known: dict[str, Field]) -> None:
    request = ask(known, instance(departs_at="2024-03-20T13:10:00"))
    assert request.columns["departs_at"] == [datetime(2024, 3, 20, 12, 10, tzinfo=UTC)]


def test_a_category_that_was_never_seen_is_taken(known: dict[str, Field]) -> None:
    assert ask(known, instance(stop="Mars")).columns["stop"] == ["Mars"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"line": MISSING}, "row 0: 'line' is missing"),
        ({"trip": None}, "row 0: 'trip' is missing"),
        ({"stop": MISSING}, "row 0: 'stop' is missing"),
        ({"trip": "seven"}, "'trip' is 'seven', but has to be a 64-bit integer"),
        ({"trip": 7.5}, "'trip' is 7.5, but has to be a 64-bit integer"),
        ({"trip": True}, "'trip' is True, but has to be a 64-bit integer"),
        ({"trip": 2**63}, "has to be a 64-bit integer"),
        ({"trip": -1}, "below the minimum in usecase.yaml, 0"),
        ({"signal": 101}, "above the maximum in usecase.yaml, 100"),
        ({"signal": "strong"}, "'signal' is 'strong', but has to be a number"),
        ({"signal": 1e300}, "has to be a finite 32-bit number"),
        ({"signal": [1.0]}, "'signal' is [1.0], but has to be a number"),
        ({"stop": 5}, "'stop' is 5, but has to be a string"),
        ({"stop": {"a": "x" * 100}}, "..., but has to be a string"),
        ({"departs_at": "noon"}, "'departs_at' is 'noon', but has to be a time such as"),
        ({"departs_at": 1710936600}, "has to be a time such as"),
        ({"departs_at": "0001-01-01T00:00:00+14:00"}, "1900 to 2199"),
        ({"departs_at": "9999-12-31T23:59:59-14:00"}, "1900 to 2199"),
        ({"linie": "M1"}, "there is no field 'linie'; did you mean 'line'?"),
    ],
)
def test_an_invalid_value_is_named(known: dict[str, Field], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InferenceError) as refused:
        ask(known, instance(**changes))
    assert says in str(refused.value)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is not valid JSON"),
        (b'{"instances": [', "is not valid JSON"),
        (b'{"instances": [{"signal": NaN}]}', "is not valid JSON"),
        (b'{"instances": [{"signal": Infinity}]}', "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b'{"instances": [{"line": "\\ud800"}]}', "is not valid JSON"),
        (b"[" * 5000, "is not valid JSON"),
        (b"[]", "has to be"),
        (b"null", "has to be"),
        (b'{"instances": {}}', "has to be"),
        (b'{"inputs": []}', "has to be"),
        (b'{"instances": []}', "no rows"),
        (b'{"instances": [1]}', "row 0 has to be an object"),
        (b'{"instances": [{}], "more": 1}', "'more'"),
    ],
)
def test_an_invalid_body_is_rejected(known: dict[str, Field], body: bytes, says: str) -> None:
    with pytest.raises(InferenceError, match=says) as refused:
        v1.read(body, known, None)
    assert refused.value.status == 400


def test_more_rows_than_a_batch_are_rejected(known: dict[str, Field]) -> None:
    assert ask(known, *[instance()] * MAX_ROWS).rows == MAX_ROWS
    with pytest.raises(InferenceError, match="the request has 10,000 rows, and the limit is 1,024") as refused:
        ask(known, *[instance()] * 10_000)
    assert refused.value.status == 413


def test_nan_is_a_missing_value_and_infinity_is_none(known: dict[str, Field]) -> None:
    raw = {name: [value] for name, value in instance().items()}
    assert validate(known, raw | {"signal": [float("nan")]}, 1, None).columns["signal"] == [None]
    for infinite in (float("inf"), float("-inf")):
        with pytest.raises(InferenceError, match="has to be a finite 32-bit number"):
            validate(known, raw | {"signal": [infinite]}, 1, None)


def test_a_request_keeps_its_id_or_gets_one(known: dict[str, Field]) -> None:
    body = orjson.dumps({"instances": [instance()]})
    assert v1.read(body, known, "mine").id == "mine"
    assert len({v1.read(body, known, None).id for _ in range(10)}) == 10
    with pytest.raises(InferenceError, match="has 129 characters"):
        v1.read(body, known, "x" * 129)


def test_a_view_joined_on_an_unknown_column_is_rejected(served: Served) -> None:
    with pytest.raises(LooplineError, match="joined on 'tailnum', which is not a column of table trips"):
        request_fields(usecase.load(served.package).spec, ["tailnum"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["line", "trip", "departs_at", "signal", "stop", "x"], JSON)))
def test_any_value_is_parsed_or_rejected(known: dict[str, Field], changes: dict[str, Any]) -> None:
    try:
        rows, status = ask(known, instance(**changes)).rows, 200
    except InferenceError as refused:
        rows, status = 0, int(refused.status)
    assert (rows, status) in {(1, 200), (0, 400)}

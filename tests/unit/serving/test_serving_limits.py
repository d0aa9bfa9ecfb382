"""Cache and limit: bounded, by time and by number, and told by their counts."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.serving.predictor.score_cache import ScoreCache, row_digests
from loopline.components.serving.protocol.errors import InferenceError
from loopline.components.serving.runtime.limits import ConcurrencyLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_score_is_kept_for_its_time() -> None:
    clock = Clock()
    cache = ScoreCache(10, 5, clock)
    cache.put("a", 0.5)
    clock.now = 4.9
    assert cache.get("a") == 0.5
    clock.now = 5
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = ScoreCache(2, 5, Clock())
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache = ScoreCache(0, 5)
    cache.put("a", 1)
    assert cache.get("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())))
def test_it_never_holds_more_than_its_size_nor_another_score(steps: list[tuple[str, bool]]) -> None:
    cache = ScoreCache(3, 5, Clock())
    for key, put in steps:
        if put:
            cache.put(key, ord(key))
        assert cache.get(key) in {None, ord(key)}
        assert len(cache) <= 3


def test_the_digest_tells_rows_and_versions_apart() -> None:
    columns = [[1.0, 1.0, None, 2.0], ["a", "a", "a", None]]
    one, same, other, more = row_digests(columns, "3")
    assert one == same
    assert len({one, other, more, row_digests(columns, "4")[0]}) == 4
    assert row_digests([["ab"], ["c"]], "1") != row_digests([["a"], ["bc"]], "1")


async def fill(limit: ConcurrencyLimit, requests: int, seconds: float) -> list[str]:
    """What becomes of requests that come at once and take so long."""

    async def request() -> str:
        try:
            async with limit.slot():
                assert limit.in_flight <= 2
                await asyncio.sleep(seconds)
        except InferenceError as refused:
            return f"{refused.status:d} {refused.headers} {refused}"
        return "answered"

    return await asyncio.gather(*(request() for _ in range(requests)))


def test_the_queue_is_bounded_and_the_rest_rejected_at_once() -> None:
    async def run() -> list[str]:
        limit = ConcurrencyLimit(2, 3, 5)
        outcomes = await fill(limit, 10, 0.01)
        assert (limit.in_flight, limit.waiting) == (0, 0)
        assert await fill(limit, 2, 0) == ["answered"] * 2, "places are given back"
        return outcomes

    outcomes = asyncio.run(run())
    assert outcomes.count("answered") == 5
    refused = {outcome for outcome in outcomes if outcome != "answered"}
    assert refused == {
        "503 {'retry-after': '1'} 2 requests are in flight and 3 are waiting; retry shortly",
    }


def test_no_request_waits_longer_than_the_limit() -> None:
    outcomes = asyncio.run(fill(ConcurrencyLimit(1, 3, 0.05), 3, 0.5))
    assert outcomes.count("answered") == 1
    assert sum("waited 0.05 s for a slot" in outcome for outcome in outcomes) == 2


def test_a_failing_request_frees_its_slot() -> None:
    async def run() -> None:
        limit = ConcurrencyLimit(1, 0, 1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with limit.slot():
                    _ = 1 / 0
        assert limit.in_flight == 0

    asyncio.run(run())

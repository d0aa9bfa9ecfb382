"""Cache and admission: bounded, by time and by number, and told by their counts."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.serving.predictor.score_cache import Cache, row_digests
from loopline.components.serving.protocol.errors import RefusedError
from loopline.components.serving.runtime.limits import Admission


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_score_is_kept_for_its_time() -> None:
    clock = Clock()
    cache = Cache(10, 5, clock)
    cache.put("a", 0.5)
    clock.now = 4.9
    assert cache.get("a") == 0.5
    clock.now = 5
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = Cache(2, 5, Clock())
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache = Cache(0, 5)
    cache.put("a", 1)
    assert cache.get("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())))
def test_it_never_holds_more_than_its_size_nor_another_score(steps: list[tuple[str, bool]]) -> None:
    cache = Cache(3, 5, Clock())
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


async def fill(admission: Admission, requests: int, seconds: float) -> list[str]:
    """What becomes of requests that come at once and take so long."""

    async def request() -> str:
        try:
            async with admission.admitted():
                assert admission.inside <= 2
                await asyncio.sleep(seconds)
        except RefusedError as refused:
            return f"{refused.status:d} {refused.headers} {refused}"
        return "answered"

    return await asyncio.gather(*(request() for _ in range(requests)))


def test_what_waits_is_bounded_and_the_rest_refused_at_once() -> None:
    async def run() -> list[str]:
        admission = Admission(2, 3, 5)
        outcomes = await fill(admission, 10, 0.01)
        assert (admission.inside, admission.waiting) == (0, 0)
        assert await fill(admission, 2, 0) == ["answered"] * 2, "places are given back"
        return outcomes

    outcomes = asyncio.run(run())
    assert outcomes.count("answered") == 5
    refused = {outcome for outcome in outcomes if outcome != "answered"}
    assert refused == {
        "503 {'retry-after': '1'} 2 requests are being answered and 3 wait; ask again shortly",
    }


def test_nobody_waits_longer_than_the_limit() -> None:
    outcomes = asyncio.run(fill(Admission(1, 3, 0.05), 3, 0.5))
    assert outcomes.count("answered") == 1
    assert sum("waited 0.05 s for its turn" in outcome for outcome in outcomes) == 2


def test_a_failing_request_gives_its_place_back() -> None:
    async def run() -> None:
        admission = Admission(1, 0, 1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with admission.admitted():
                    _ = 1 / 0
        assert admission.inside == 0

    asyncio.run(run())

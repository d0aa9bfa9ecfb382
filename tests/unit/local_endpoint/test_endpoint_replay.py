"""A replay asks each question once, in order, and counts what came of it."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.endpoint.process import free_ports
from loopline.local.endpoint.replay import ReplayCounts, instances, replay, request_fields

CASE = usecase.load("tests.usecases.temperature")
COLUMNS = ["station", "read_at", "hour_of_day"]


async def serve(port: int, seen: list[Any]) -> web.AppRunner:
    """An endpoint that answers every question but the odd ones."""

    async def predict(request: web.Request) -> web.Response:
        [row] = (await request.json())["instances"]
        seen.append(row["number"])
        if row["number"] % 2:
            return web.json_response({"error": "odd"}, status=503)
        return web.json_response({"predictions": [{"prediction": 1.0}], "model_version": "3"})

    app = web.Application()
    app.router.add_post("/v1/models/m:predict", predict)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def run(count: int, **how: Any) -> tuple[ReplayCounts, list[Any], list[tuple[int, int]]]:
    """Replay some numbers; what came of it, what was asked, what was told."""
    seen: list[Any] = []
    told: list[tuple[int, int]] = []

    async def both() -> ReplayCounts:
        [port] = free_ports(1)
        runner = await serve(port, seen)
        asked = ({"number": number} for number in range(count))
        tell = lambda question, status, body: told.append((question["number"], status))  # noqa: E731
        try:
            return await replay(f"http://127.0.0.1:{port}", "m", asked, on_response=tell, **how)
        finally:
            await runner.cleanup()

    return asyncio.run(both()), seen, told


def test_each_row_is_sent_once_and_counted() -> None:
    traffic, seen, told = run(101, connections=8)
    assert sorted(seen) == list(range(101))
    assert traffic == ReplayCounts({"3": 51}, {503: 50})
    assert traffic.total == 101
    assert sorted(told) == [(number, 503 if number % 2 else 200) for number in range(101)]


def test_over_one_connection_they_come_in_order() -> None:
    assert run(20, connections=1)[1] == list(range(20))


def test_a_rate_is_kept() -> None:
    began = time.monotonic()
    run(21, connections=4, rate=40)
    assert time.monotonic() - began >= 0.5


def test_no_response_is_counted_as_failed() -> None:
    [port] = free_ports(1)
    traffic = asyncio.run(replay(f"http://127.0.0.1:{port}", "m", [{"number": 1}]))
    assert traffic == ReplayCounts({}, {0: 1})


def test_an_unavailable_endpoint_is_an_error() -> None:
    [port] = free_ports(1)
    with pytest.raises(LooplineError, match="does not return the metadata of m"):
        request_fields(f"http://127.0.0.1:{port}", "m")


def test_instances_are_past_events_in_order_without_later_columns() -> None:
    rows = list(instances(CASE, "2013-05-21", "2013-05-22", COLUMNS))
    assert rows
    assert all(list(row) == COLUMNS for row in rows)
    times = [row["read_at"] for row in rows]
    assert times == sorted(times)
    assert all("2013-05-21" <= moment < "2013-05-22" for moment in times)

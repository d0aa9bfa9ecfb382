"""Replay of past events: each is sent to an endpoint as a request, in the order of time."""

import asyncio
import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import aiohttp
import pyarrow as pa

from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError

# A row of a V1 request: values by field.
Instance = dict[str, Any]
OnResponse = Callable[[Instance, int, Any], None]


@dataclass
class ReplayCounts:
    """Responses of a replay.

    Attributes:
        succeeded: by model version.
        failed: by HTTP status; 0 where there was no response.
    """

    succeeded: dict[str, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.succeeded.values()) + sum(self.failed.values())


def request_fields(url: str, model: str) -> list[str]:
    """The fields of a request, from the endpoint's model metadata.

    Raises:
        LooplineError: the endpoint does not respond.
    """
    try:
        with urllib.request.urlopen(f"{url}/v2/models/{model}", timeout=5) as response:  # noqa: S310 - http, loopback
            return [tensor["name"] for tensor in json.load(response)["inputs"]]
    except (OSError, ValueError, KeyError) as error:
        raise LooplineError(f"{url} does not return the metadata of {model}: {error}") from error


def instances(case: UseCase, start: str | date, end: str | date, fields: Sequence[str]) -> Iterator[Instance]:
    """The events of a window as rows of V1 requests, in the order of time.

    Args:
        case: the use case.
        start: of the window.
        end: of the window.
        fields: of a request, as returned by `request_fields`.
    """
    window, entity = case.spec.window(start, end), case.spec.entity
    table = pa.table(case.source.tables(window.start, window.end)[entity.table])
    table = table.sort_by(entity.timestamp).select(fields)
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


async def replay(
    url: str,
    model: str,
    rows: Iterable[Instance],
    *,
    connections: int = 8,
    rate: float | None = None,
    on_response: OnResponse = lambda *_: None,
) -> ReplayCounts:
    """Send each row as a request of its own, in order, over several connections.

    Args:
        url: of the endpoint.
        model: its name.
        rows: to send.
        connections: concurrent requests.
        rate: requests per second; unlimited if None.
        on_response: called with each row, the HTTP status (0 without a response) and the parsed body.
    """
    loop = asyncio.get_running_loop()
    counts, started, pending = ReplayCounts(), loop.time(), enumerate(rows)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def send_pending() -> None:
            for number, row in pending:
                if rate and (delay := started + number / rate - loop.time()) > 0:
                    await asyncio.sleep(delay)
                status, body = await _send(session, f"{url}/v1/models/{model}:predict", row)
                if status == 200:
                    version = str(body.get("model_version", ""))
                    counts.succeeded[version] = counts.succeeded.get(version, 0) + 1
                else:
                    counts.failed[status] = counts.failed.get(status, 0) + 1
                on_response(row, status, body)

        await asyncio.gather(*(send_pending() for _ in range(connections)))
    return counts


async def _send(session: aiohttp.ClientSession, url: str, row: Instance) -> tuple[int, Any]:
    try:
        async with session.post(url, json={"instances": [row]}) as response:
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return 0, None

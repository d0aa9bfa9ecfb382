"""Past events asked again, in the order of their time: real traffic for an endpoint."""

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

Question = dict[str, Any]
Answered = Callable[[Question, int, Any], None]


@dataclass
class Traffic:
    """What came of a replay.

    Attributes:
        answered: questions that got an answer, by model version.
        failed: those that got none, by HTTP status; 0 where there was not even that.
    """

    answered: dict[str, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """All questions."""
        return sum(self.answered.values()) + sum(self.failed.values())


def inputs(url: str, name: str) -> list[str]:
    """The columns of a question, as an endpoint lists them.

    Raises:
        LooplineError: it does not answer.
    """
    try:
        with urllib.request.urlopen(f"{url}/v2/models/{name}", timeout=5) as answer:  # noqa: S310 - http, loopback
            return [column["name"] for column in json.load(answer)["inputs"]]
    except (OSError, ValueError, KeyError) as error:
        raise LooplineError(f"{url} does not say what {name} is asked with: {error}") from error


def questions(case: UseCase, start: str | date, end: str | date, columns: Sequence[str]) -> Iterator[Question]:
    """The events of a window as they would have been asked about, in the order of their time.

    Args:
        case: the use case.
        start: of the window.
        end: of the window.
        columns: of a question, as `inputs` lists them.
    """
    window, entity = case.spec.window(start, end), case.spec.entity
    table = pa.table(case.source.tables(window.start, window.end)[entity.table])
    table = table.sort_by(entity.timestamp).select(columns)
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


async def replay(
    url: str,
    name: str,
    asked: Iterable[Question],
    *,
    connections: int = 8,
    rate: float | None = None,
    on_answer: Answered = lambda *_: None,
) -> Traffic:
    """Ask questions one by one in their order, several at a time, each once.

    Args:
        url: of the endpoint.
        name: of the model.
        asked: the questions.
        connections: how many are under way at a time.
        rate: questions a second; as many as are answered if None.
        on_answer: called with each question, the HTTP status (0 if there was none) and the answer.
    """
    loop = asyncio.get_running_loop()
    traffic, began, waiting = Traffic(), loop.time(), enumerate(asked)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def ask() -> None:
            for number, question in waiting:
                if rate and (early := began + number / rate - loop.time()) > 0:
                    await asyncio.sleep(early)
                status, body = await _ask(session, f"{url}/v1/models/{name}:predict", question)
                if status == 200:
                    version = str(body.get("model_version", ""))
                    traffic.answered[version] = traffic.answered.get(version, 0) + 1
                else:
                    traffic.failed[status] = traffic.failed.get(status, 0) + 1
                on_answer(question, status, body)

        await asyncio.gather(*(ask() for _ in range(connections)))
    return traffic


async def _ask(session: aiohttp.ClientSession, url: str, question: Question) -> tuple[int, Any]:
    try:
        async with session.post(url, json={"instances": [question]}) as response:
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return 0, None

"""Traffic for the demo: the events of the compare window, replayed at the endpoint in the order of their time."""

import asyncio
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from loopline.components.contract.usecase import UseCase
from loopline.local.endpoint.replay import Instance, instances, replay, request_fields

CONNECTIONS = 4
# Requests a second at most: a month of flights lasts a minute, even if a version takes long to start.
RATE = 500.0


class DemoTraffic:
    """Sends requests from a thread while the ``with`` block lasts, or until there are no more events.

    Args:
        case: the use case.
        port: of the endpoint.

    Attributes:
        answered: requests answered with status 200 so far.
        failed: all others.

    Raises:
        LooplineError: the endpoint does not say which inputs it takes.
    """

    def __init__(self, case: UseCase, port: int) -> None:
        self.answered = self.failed = 0
        self._case = case
        self._url = f"http://127.0.0.1:{port}"
        self._stopped = threading.Event()
        fields = request_fields(self._url, case.spec.name)
        self._thread = threading.Thread(target=self._send, args=(fields,), name="traffic")

    @property
    def running(self) -> bool:
        """Whether there are more requests to send."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _send(self, columns: list[str]) -> None:
        requests = self._until_stopped(instances(self._case, *self._case.spec.replay.compare, columns))
        asyncio.run(
            replay(
                self._url,
                self._case.spec.name,
                requests,
                connections=CONNECTIONS,
                rate=RATE,
                on_response=self._count,
            )
        )

    def _until_stopped(self, requests: Iterator[Instance]) -> Iterator[Instance]:
        for request in requests:
            if self._stopped.is_set():
                return
            yield request

    def _count(self, _: Instance, status: int, __: Any) -> None:
        if status == 200:
            self.answered += 1
        else:
            self.failed += 1


def events(case: UseCase) -> int:
    """How many events there are to replay."""
    window = case.spec.window(*case.spec.replay.compare)
    return len(case.source.tables(window.start, window.end)[case.spec.entity.table])

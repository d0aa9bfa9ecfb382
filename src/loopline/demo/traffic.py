"""The traffic of the acts: what the loop compares on, asked again at the endpoint, in the order of time."""

import asyncio
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from loopline.components.contract.usecase import UseCase
from loopline.local.endpoint.replay import Question, inputs, questions, replay

CONNECTIONS = 4
# A second, at most: a month of flights lasts for a minute, also where a version takes long to start.
RATE = 500.0


class Traffic:
    """Questions asked by a thread of their own while the block lasts, or until there are no more.

    Args:
        case: the use case.
        port: of the endpoint, which answers.

    Attributes:
        answered: questions that got an answer so far. ``failed``: those that got none.
    """

    def __init__(self, case: UseCase, port: int) -> None:
        self.answered = self.failed = 0
        self._case = case
        self._url = f"http://127.0.0.1:{port}"
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(inputs(self._url, case.spec.name),), name="traffic")

    @property
    def goes_on(self) -> bool:
        """Whether there are more to come."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left.set()
        self._thread.join()

    def _ask(self, columns: list[str]) -> None:
        asked = self._until_left(questions(self._case, *self._case.spec.replay.compare, columns))
        asyncio.run(
            replay(
                self._url,
                self._case.spec.name,
                asked,
                connections=CONNECTIONS,
                rate=RATE,
                on_answer=self._count,
            )
        )

    def _until_left(self, given: Iterator[Question]) -> Iterator[Question]:
        for question in given:
            if self._left.is_set():
                return
            yield question

    def _count(self, _: Question, status: int, __: Any) -> None:
        if status == 200:
            self.answered += 1
        else:
            self.failed += 1


def events(case: UseCase) -> int:
    """How many there are to ask about."""
    window = case.spec.window(*case.spec.replay.compare)
    return len(case.source.tables(window.start, window.end)[case.spec.entity.table])

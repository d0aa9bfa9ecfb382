"""The limit on concurrent requests: a fixed number at once, a bounded queue, and 503 for the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loopline.components.serving.protocol.errors import overloaded


class ConcurrencyLimit:
    """Limits concurrent requests.

    Args:
        max_in_flight: requests that are handled at the same time.
        max_waiting: requests that may wait for a slot, first come, first served.
        max_waiting_seconds: longest wait.

    Attributes:
        in_flight: requests that are being handled. ``waiting``: requests that wait for a slot.
    """

    def __init__(self, max_in_flight: int, max_waiting: int, max_waiting_seconds: float) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)
        self._max_waiting = max_waiting
        self._max_waiting_seconds = max_waiting_seconds
        self.waiting = 0
        self.in_flight = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot for the duration of the block.

        Raises:
            InferenceError: too many requests wait already, or the wait was too long.
        """
        if self._slots.locked():
            await self._wait()
        else:
            await self._slots.acquire()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._slots.release()

    async def _wait(self) -> None:
        if self.waiting >= self._max_waiting:
            raise overloaded(f"{self.in_flight} requests are in flight and {self.waiting} are waiting; retry shortly")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._max_waiting_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise overloaded(f"the request waited {self._max_waiting_seconds:g} s for a slot; retry shortly") from None
        finally:
            self.waiting -= 1

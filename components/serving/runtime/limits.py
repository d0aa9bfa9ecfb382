"""How much is answered at a time: so many requests at once, so many waiting, the rest refused at no cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loopline.components.serving.protocol.errors import overloaded


class Admission:
    """Lets requests in.

    Args:
        at_once: requests that are answered at the same time.
        waiting: requests that may wait for that, in the order in which they came.
        seconds: longest wait.
    """

    def __init__(self, at_once: int, waiting: int, seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most = waiting
        self._seconds = seconds
        self.waiting = 0
        self.inside = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Hold a place for the time of the block.

        Raises:
            RefusedError: too many wait already, or the wait was too long.
        """
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._free.release()

    async def _wait(self) -> None:
        if self.waiting >= self._most:
            raise overloaded(f"{self.inside} requests are being answered and {self.waiting} wait; ask again shortly")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise overloaded(f"the request waited {self._seconds:g} s for its turn; ask again shortly") from None
        finally:
            self.waiting -= 1

"""A lease in an object store: what a lock of the operating system is on a disk.

The lease is a small object that its holder renews. A lease that nobody has renewed for `DEAD_SECONDS` belongs to a
process that was killed, and is taken over. No clocks are compared, and it is taken by a conditional PUT, so only one of
several waiting processes gets it.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from loopline.components.errors import LooplineError
from loopline.components.io import conditional_put

RENEWED_SECONDS = 10.0
DEAD_SECONDS = 60.0
FREE = b"free"


@contextmanager
def held(uri: str) -> Iterator[Callable[[], None]]:
    """Hold the lease at ``s3://bucket/key``, waiting for its current holder.

    Gives a function that raises if the lease was lost: call it before writing what the lease protects.

    Raises:
        LooplineError: the store cannot be used.
    """
    tag = _taken(uri)
    end, lost = threading.Event(), threading.Event()

    def renew() -> None:
        nonlocal tag
        while not end.wait(RENEWED_SECONDS):
            with suppress(LooplineError):  # the store is away for a moment; the next renewal tells
                renewed = conditional_put.replace(uri, uuid.uuid4().bytes, tag)
                if renewed is None:
                    lost.set()
                    return
                tag = renewed

    def expect_held() -> None:
        if lost.is_set():
            raise LooplineError(f"the lease {uri} was lost: the object store was away for too long; run again")

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield expect_held
    finally:
        end.set()
        keeper.join()
        if not lost.is_set():
            with suppress(LooplineError):  # it expires
                conditional_put.replace(uri, FREE, tag)


def _taken(uri: str) -> str:
    """Wait until the lease is free or expired, and take it; return its ETag."""
    seen, since = "", time.monotonic()
    while True:
        content, tag = conditional_put.read(uri) or (FREE, None)
        if tag != seen:
            seen, since = tag or "", time.monotonic()
        is_free = content == FREE or time.monotonic() - since > DEAD_SECONDS
        if is_free and (ours := conditional_put.replace(uri, uuid.uuid4().bytes, tag)):
            return ours
        time.sleep(min(RENEWED_SECONDS, DEAD_SECONDS) / 10)

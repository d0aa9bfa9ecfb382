"""A cache of recent scores, by the digest of the feature values they were given for."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import orjson


class ScoreCache:
    """A bounded cache of scores: evicts the least recently used, and expires each after its time to live.

    The key is the digest of all feature values of a row, as the model is given them. Features are looked up for every
    request, so a cached score is never older than its features. The version of the model is part of the key.

    Args:
        size: maximum number of scores; 0 disables the cache.
        ttl_seconds: time to live of a score.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, size: int, ttl_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> float | None:
        """The score of a key; None if it is not cached or has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires, score = entry
        if self._clock() >= expires:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return score

    def put(self, key: str, score: float) -> None:
        """Cache a score."""
        if self._size <= 0:
            return
        self._entries[key] = (self._clock() + self._ttl_seconds, score)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


def row_digests(columns: Sequence[Sequence[Any]], version: str) -> list[str]:
    """For each row, the digest of its feature values and of the model's version: 32 hex digits.

    Args:
        columns: for each input of the model in order, its values.
        version: of the model.
    """
    return [
        hashlib.blake2b(orjson.dumps([version, *row], default=str), digest_size=16).hexdigest()
        for row in zip(*columns, strict=True)
    ]

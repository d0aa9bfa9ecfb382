"""Scores that were given lately, by what they were given for."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import orjson


class Cache:
    """A bounded cache of scores: the least recently used go first, and none lives longer than its time.

    The key is the digest of all features of a row, as the model is given them: looked up anew for each request, so that
    no answer is older than its features. The version of the model is part of it.

    Args:
        size: scores that are kept; 0 keeps none.
        seconds: how long each is kept.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> float | None:
        """The score of a key; None if it is not there, or too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        until, score = entry
        if self._clock() >= until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return score

    def put(self, key: str, score: float) -> None:
        """Keep a score."""
        if self._size <= 0:
            return
        self._entries[key] = (self._clock() + self._seconds, score)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


def row_digests(columns: Sequence[Sequence[Any]], version: str) -> list[str]:
    """For each row, the digest of its features and of the model's version: 32 hex digits.

    Args:
        columns: for each input of the model in order, its values.
        version: of the model.
    """
    return [
        hashlib.blake2b(orjson.dumps([version, *row], default=str), digest_size=16).hexdigest()
        for row in zip(*columns, strict=True)
    ]

"""What models are called on the page, and which of its colours tells one from another."""

from collections.abc import Mapping, Sequence
from typing import Any

from loopline.report import words

COLOURS = 4


class Names:
    """Names models by the version that their digest is registered under, else by the digest."""

    def __init__(self, models: Sequence[Mapping[str, Any]]) -> None:
        self._versions = {model["digest"]: int(model["version"]) for model in models}

    def __call__(self, digest: str) -> str:
        """What the model with that digest is called."""
        version = self._versions.get(digest)
        return f"version {version}" if version is not None else f"model {words.short(digest)}"

    def colour(self, digest: str, others: Sequence[str]) -> int:
        """A series colour that tells a model from the others, the older first."""
        ranked = sorted(set(others), key=lambda d: (self._versions.get(d, 1 << 30), d))
        return ranked.index(digest) % COLOURS

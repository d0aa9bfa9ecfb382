"""What models are called in the report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loopline.components.pages.formatting import short

# The most telling first.
ALIASES = ("champion", "challenger", "candidate", "previous")


class ModelNames:
    """ModelNames models by the version that their digest is registered under, otherwise by the digest."""

    def __init__(self, models: Sequence[Mapping[str, Any]]) -> None:
        self._versions = {model["digest"]: int(model["version"]) for model in models}

    def __call__(self, digest: str) -> str:
        """What the model with that digest is called."""
        version = self._versions.get(digest)
        return f"version {version}" if version is not None else f"model {short(digest)}"

    def age(self, digest: str) -> tuple[int, str]:
        """A sort key: older versions first, unregistered models last."""
        return self._versions.get(digest, 1 << 30), digest


def main_alias(aliases: Iterable[str]) -> str:
    """The most telling of a model's aliases, or an empty string."""
    known = set(aliases)
    return next((name for name in ALIASES if name in known), min(known, default=""))


def latest_metrics(months: Mapping[str, Mapping[str, float]]) -> tuple[str, Mapping[str, float]]:
    """The last month on which a model was evaluated, and its metrics there; both empty where there is none."""
    return max(months.items(), default=("", {}))

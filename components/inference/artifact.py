"""An input of a step as KFP gives it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifact:
    """An input of a step: where it lies for everybody, and its copy here."""

    uri: str
    path: Path | str

"""An input artifact of a step."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifact:
    """An input artifact: its URI, and the path of its local copy."""

    uri: str
    path: Path | str

"""Acts that were played, kept for a loop that comes to the same models again."""

import json
from collections.abc import Sequence
from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io import atomic, digest
from loopline.demo.step import Act
from loopline.local.workspace import Workspace


def place(workspace: Workspace, spec: UseCaseSpec, champion: Model, challenger: Model | None) -> Path:
    """The file for the acts with these models, under this policy and this traffic."""
    identity = digest.of_value(
        {
            "champion": champion.digest,
            "challenger": challenger.digest if challenger else None,
            "release": spec.release.model_dump(mode="json"),
            "replay": [str(moment) for moment in spec.replay.compare],
        }
    )
    return workspace.root / "releases" / spec.name / f"{identity.removeprefix(digest.PREFIX)[:16]}.json"


def read(file: Path) -> list[Act] | None:
    """The acts in a file; None if there are none, or if they were written by a version that kept other things."""
    try:
        return [Act.model_validate(act) for act in json.loads(file.read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError):
        return None


def write(file: Path, acts: Sequence[Act]) -> None:
    """Keep some acts."""
    atomic.write_text(file, json.dumps([act.model_dump(mode="json") for act in acts], indent=1) + "\n")

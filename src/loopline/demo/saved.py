"""Finished demo steps, saved so that a loop that arrives at the same models shows them without releasing again."""

import json
from collections.abc import Sequence
from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io import atomic, digest
from loopline.demo.step import DemoStep
from loopline.local.workspace import Workspace


def path(workspace: Workspace, spec: UseCaseSpec, champion: Model, challenger: Model | None) -> Path:
    """The file for the steps with these models, this release policy and this traffic."""
    identity = digest.of_value(
        {
            "champion": champion.digest,
            "challenger": challenger.digest if challenger else None,
            "release": spec.release.model_dump(mode="json"),
            "replay": [str(moment) for moment in spec.replay.compare],
        }
    )
    return workspace.root / "releases" / spec.name / f"{identity.removeprefix(digest.PREFIX)[:16]}.json"


def read(file: Path) -> list[DemoStep] | None:
    """The steps in a file; None if it does not exist or was written in another format."""
    try:
        return [DemoStep.model_validate(step) for step in json.loads(file.read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError):
        return None


def write(file: Path, steps: Sequence[DemoStep]) -> None:
    """Save the steps."""
    atomic.write_text(file, json.dumps([step.model_dump(mode="json") for step in steps], indent=1) + "\n")

"""What a run of the release DAG is about, as its first step found it and the others need it."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.io.strict import Strict

TargetName = Literal["local", "git", "cluster"]
TARGETS: tuple[TargetName, ...] = ("local", "git", "cluster")
# How things stood when the run began; under way also if it began the release itself.
Found = Literal["under way", "promoted", "rolled back", "serves already"]


class Plan(Strict):
    """One run of the release DAG.

    Attributes:
        usecase: package of the use case.
        target: what carries the release out.
        target_uri: for target local, the folder of the endpoint; for git, a clone or the address of a repository.
        overlay: for target git, a folder in kustomize/overlays.
        log: where the endpoint's prediction log is.
        owner: whose release it is.
        version: the release is of.
        found: whether there is anything to do.
        until: until when the run waits for evidence; None for as long as it takes.
    """

    usecase: str
    target: TargetName
    target_uri: str = ""
    overlay: str = ""
    log: str
    owner: str
    version: str = ""
    found: Found = "under way"
    until: AwareDatetime | None = None

    @classmethod
    def read(cls, path: str) -> "Plan":
        """The plan in a file."""
        return cls.model_validate_json(Path(path).read_bytes())

    def write(self, path: str) -> None:
        """Write it to a file."""
        atomic.write_text(Path(path), self.model_dump_json(indent=1) + "\n")

    def seconds_left(self, now: datetime) -> float | None:
        """How long the run still waits for evidence; None for as long as it takes."""
        return None if self.until is None else max(0.0, (self.until - now).total_seconds())


def seconds(wait: str) -> float | None:
    """Read how long a run waits for evidence; empty for as long as it takes.

    Raises:
        LooplineError: it is no number of seconds.
    """
    if not wait:
        return None
    if not wait.isdecimal():
        raise LooplineError(f"'{wait}' is no time to wait for evidence; give whole seconds, or nothing for no limit")
    return float(wait)


def known_target(name: str) -> TargetName:
    """The target of that name.

    Raises:
        LooplineError: there is none.
    """
    for target in TARGETS:
        if target == name:
            return target
    raise LooplineError(f"there is no target '{name}'; there are {', '.join(TARGETS)}")


def expect_target_uri(target: TargetName, target_uri: str) -> None:
    """Refuse a target that needs a target_uri and has none.

    Raises:
        LooplineError: it has none.
    """
    if target != "cluster" and not target_uri:
        raise LooplineError(
            f"target {target} needs a target_uri: for local the state dir of a running endpoint, for git a clone or "
            "the address of the repository with the overlays"
        )

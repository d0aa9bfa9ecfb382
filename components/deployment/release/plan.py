"""The plan of a release run: written by the first step of the DAG, read by the others."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.io.strict import Strict

TargetName = Literal["local", "git", "cluster"]
TARGETS: tuple[TargetName, ...] = ("local", "git", "cluster")
# State of the release at the beginning of the run; "under way" also if the run began it.
ReleaseState = Literal["under way", "promoted", "rolled back", "serves already"]


class Plan(Strict):
    """The plan of one run of the release DAG.

    Attributes:
        usecase: package of the use case.
        target: kind of the target.
        target_uri: for local the state dir of the endpoint; for git a clone or the address of a repository.
        overlay: for git, the name of a folder in kustomize/overlays.
        log: URI of the endpoint's prediction log.
        owner: of the release.
        version: to release.
        state: of its release when the run began.
        until: when the run stops waiting for evidence; None for no limit.
    """

    usecase: str
    target: TargetName
    target_uri: str = ""
    overlay: str = ""
    log: str
    owner: str
    version: str = ""
    state: ReleaseState = "under way"
    until: AwareDatetime | None = None

    @classmethod
    def read(cls, path: str) -> "Plan":
        """Read a plan from a file."""
        return cls.model_validate_json(Path(path).read_bytes())

    def write(self, path: str) -> None:
        """Write the plan to a file."""
        atomic.write_text(Path(path), self.model_dump_json(indent=1) + "\n")

    def seconds_left(self, now: datetime) -> float | None:
        """Seconds that the run still waits for evidence; None for no limit."""
        return None if self.until is None else max(0.0, (self.until - now).total_seconds())


def seconds(wait: str) -> float | None:
    """Parse how long a run waits for evidence; empty for no limit.

    Raises:
        LooplineError: it is not a whole number of seconds.
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
    """Refuse an empty ``target_uri`` for a target that needs one.

    Raises:
        LooplineError: it is empty.
    """
    if target != "cluster" and not target_uri:
        raise LooplineError(
            f"target {target} needs a target_uri: for local the state dir of a running endpoint, for git a clone or "
            "the address of the repository with the overlays"
        )

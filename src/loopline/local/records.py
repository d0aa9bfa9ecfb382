"""The record of a run: one JSON file, rewritten atomically whenever a step changes state."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from loopline.components.errors import LooplineError
from loopline.components.io import atomic

RunState = Literal["running", "succeeded", "failed", "killed"]
StepState = Literal["waiting", "running", "succeeded", "cached", "failed", "skipped", "killed"]
# What KFP calls a step's unnamed output: its answer.
DECISION = "Output"
FINISHED_STEP = frozenset({"succeeded", "cached"})


class Output(BaseModel):
    """An artifact that a step made (or had made before, if it was cached)."""

    kind: str
    uri: str
    digest: str
    metadata: dict[str, Any] = {}


class KeyParts(BaseModel):
    """What the result of a step depends on: equal parts mean an equal result.

    Attributes:
        code: digest by file, of the stage, the contract and the use case.
        lock: digest of constraints.txt.
        interface: digest of the step's KFP interface (its frozen body, image name without tag, environment).
        parameters: values by name.
        inputs: content digest by input artifact.
        locations: identity of each location that a parameter names.
        source: fingerprint of the data behind the use case's source, for a step that reads it.
        environment: digest of its image without the code; empty for a process of this machine.
    """

    code: dict[str, str] = {}
    lock: str = ""
    interface: str = ""
    parameters: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    locations: dict[str, str] = {}
    source: str = ""
    environment: str = ""


class StepRecord(BaseModel):
    """One step of a run.

    Attributes:
        name: its path in the DAG, for example ``training-examples/ingest``.
        task: kfp's name for it in the compiled pipeline, for example ``ingest-2``.
        stage: whose image it runs in.
        component: the function in that stage's component.py, for example ``ingest``.
        needs: names of the steps whose outputs it takes.
        item: in a loop, the parameter that identifies an iteration; each iteration becomes a step of its own.
        why: why it was cached, or ran, or was skipped, or failed: one sentence.
        values: output parameters; the unnamed one, `DECISION`, is what the step decided.
        refused: whether it decided against something, such as a promotion.
        reason: why it decided so.
    """

    name: str
    task: str
    stage: str
    component: str = ""
    needs: list[str] = []
    item: str = ""
    state: StepState = "waiting"
    started: str = ""
    seconds: float = 0.0
    why: str = ""
    key: str = ""
    parts: KeyParts | None = None
    outputs: dict[str, Output] = {}
    values: dict[str, Any] = {}
    refused: bool = False
    reason: str = ""


class RunRecord(BaseModel):
    """One run of one pipeline."""

    model_config = ConfigDict(validate_assignment=True)

    id: str
    pipeline: str
    usecase: str
    parameters: dict[str, Any]
    state: RunState = "running"
    started: str = ""
    seconds: float = 0.0
    error: str = ""
    process: int = 0
    steps: list[StepRecord] = []

    def step(self, name: str) -> StepRecord:
        """The step of that name, or the only one whose name ends with it.

        Raises:
            LooplineError: there is none, or more than one.
        """
        found = [s for s in self.steps if s.name == name] or [s for s in self.steps if s.name.split("/")[-1] == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(s.name for s in self.steps)
        problem = "has no step" if not found else "has more than one step"
        raise LooplineError(f"run {self.id} {problem} '{name}'; its steps are {names}")

    @property
    def cached(self) -> int:
        """How many steps came from the cache."""
        return sum(step.state == "cached" for step in self.steps)

    def save(self, runs: Path) -> None:
        """Write the record."""
        atomic.write_text(runs / self.id / "run.json", self.model_dump_json(indent=1))


def now() -> str:
    """This moment as ISO text in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_json(value: Any) -> Any:
    """A value after a round trip through JSON."""
    return json.loads(json.dumps(value, default=str))

"""What is remembered of a run: one JSON file, rewritten atomically whenever a step changes state."""

import json
import os
import re
from collections.abc import Mapping
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
    """What a step's result depends on; equal parts, equal result.

    Attributes:
        code: digest by file, of the stage, the contract and the use case.
        lock: digest of constraints.txt.
        interface: digest of the step's KFP interface (its frozen body, image name without tag, environment).
        parameters: values by name.
        inputs: content digest by input artifact.
        locations: identity of each stateful place that a parameter names.
        source: fingerprint of the data behind the use case's source (ingest only).
        environment: digest of what its image has below the code; empty for a process of this machine.
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
        name: place in the DAG, for example ``training-examples/ingest``.
        task: kfp's name for it in the compiled pipeline, for example ``ingest-2``.
        stage: whose image it runs in.
        component: the function in that stage's component.py, for example ``ingest``.
        needs: names of the steps whose outputs it takes.
        item: in a loop, the parameter that tells one execution of it from another; each becomes a step of its own.
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


def new_run(runs: Path, pipeline: str, usecase: str, parameters: Mapping[str, Any]) -> RunRecord:
    """Begin a record; its id sorts by time and is free."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for suffix in ["", *(f"-{n}" for n in range(2, 1000))]:
        identity = f"{pipeline}-{stamp}{suffix}"
        try:
            (runs / identity).mkdir(parents=True)
        except FileExistsError:
            continue
        run = RunRecord(
            id=identity,
            pipeline=pipeline,
            usecase=usecase,
            parameters=dict(parameters),
            started=now(),
            process=os.getpid(),
        )
        run.save(runs)
        return run
    raise LooplineError(f"no free run id under {runs}")


def list_runs(runs: Path) -> list[RunRecord]:
    """All runs, oldest first; one whose process is gone without an end is given the state ``killed``."""
    found = (_read(runs, file) for file in runs.glob("*/run.json"))
    # Two may begin in the same millisecond; the numbers that make their ids free (-2, -10) then say which was first.
    return sorted(found, key=lambda run: (run.started, [int(n) for n in re.findall(r"\d+", run.id)]))


def find_run(runs: Path, identity: str) -> RunRecord:
    """The run with that id, or ``last``.

    Raises:
        LooplineError: there is none.
    """
    file = runs / identity / "run.json"
    if identity == "last":
        known = list_runs(runs)
        if known:
            return known[-1]
    elif file.is_file():
        return _read(runs, file)
    raise LooplineError(f"there is no run '{identity}' in {runs}; `loopline runs` lists them")


def _read(runs: Path, file: Path) -> RunRecord:
    try:
        run = RunRecord.model_validate_json(file.read_bytes())
    except ValueError as error:
        raise LooplineError(f"{file} is damaged; delete the folder {file.parent}") from error
    if run.state == "running" and not is_alive(run.process):
        run.state = "killed"
        run.error = "its process ended without a word; run the same command again to resume from its finished steps"
        for step in run.steps:
            if step.state == "running":
                step.state = "killed"
        run.save(runs)
    return run


def is_alive(process: int) -> bool:
    """Whether a process of that id is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def to_json(value: Any) -> Any:
    """A value as JSON would give it back."""
    return json.loads(json.dumps(value, default=str))

"""The runs in a workspace: begun, listed, found by id."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopline.components.errors import LooplineError
from loopline.local.records import RunRecord, now


def new_run(runs: Path, pipeline: str, usecase: str, parameters: Mapping[str, Any]) -> RunRecord:
    """Begin a record under an id that is free and sorts by time."""
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
    """All runs, oldest first; a run whose process is gone before it ended is marked ``killed``."""
    found = (_read(runs, file) for file in runs.glob("*/run.json"))
    # Two may begin in the same millisecond; the suffixes of their ids (-2, -10) then say which was first.
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
        run.error = "its process was killed; run the same command again to resume from its finished steps"
        for step in run.steps:
            if step.state == "running":
                step.state = "killed"
        run.save(runs)
    return run


def is_alive(process: int) -> bool:
    """Whether a process with that id exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

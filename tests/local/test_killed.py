"""Killed at any step, a run resumes where it was, and nothing is half-made or registered twice."""

import os
import signal
import time

import psutil
import pytest

from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.io import atomic
from loopline.components.registry.models import models
from loopline.local.engine import Engine
from loopline.local.run_store import find_run
from loopline.local.workspace import Workspace
from tests.local.conftest import USECASE


class Killer:
    """Kills the process of each step the first time that it runs, as soon as it says anything."""

    def __init__(self):
        self.killed = set()
        self._running = None

    def started(self, run, step):
        self._running = None if step.name in self.killed else step.name

    def progressed(self, run, step, line):
        if self._running and "Looking for component" in line:
            for process in psutil.Process().children(recursive=True):
                if is_step(process):
                    process.kill()
            self.killed.add(self._running)
            self._running = None

    def finished(self, run, step): ...


def is_step(process):
    """A cold step, or one forked from the fork server."""
    command = " ".join(process.cmdline())
    return "loopline.local.execution" in command or ("forkserver" in command and process.parent().pid != os.getpid())


def test_killed_once_in_every_step(fresh):
    case, workspace, killer = usecase.load(USECASE), Workspace(fresh.workspace), Killer()
    values = parameters.complete("training", case, workspace, {})
    engine = Engine(workspace, killer)
    for _ in range(30):
        run = engine.run(pipeline_ir.load("training"), USECASE, values)
        if run.state == "succeeded":
            break
        assert "was killed by signal 9" in run.error
        assert not [path for path in (workspace.runs / run.id).rglob("*") if atomic.PARTIAL in path.name]
    assert run.state == "succeeded"
    assert killer.killed == {step.name for step in run.steps}
    (version,) = models(case.spec.name, workspace.registry)
    assert version.aliases == ("candidate",)


@pytest.mark.parametrize("when", ["validate-data", "train"])
def test_the_whole_command_killed(fresh, when):
    """kill -9 of the command itself: its steps end with it, the run is known as killed, the next one resumes."""
    process = fresh.start("run", "training", "--usecase", USECASE)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        running = [s["name"] for run in fresh.runs("training") for s in run["steps"] if s["state"] == "running"]
        if any(name.endswith(when) for name in running):
            break
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    killed = find_run(Workspace(fresh.workspace).runs, fresh.runs("training")[-1]["id"])
    assert killed.state == "killed"
    finished = {step.name for step in killed.steps if step.state == "succeeded"}
    fresh.loopline("run", "training", "--usecase", USECASE)
    resumed = {step["name"]: step["state"] for step in fresh.runs("training")[-1]["steps"]}
    assert {name for name, state in resumed.items() if state == "cached"} == finished

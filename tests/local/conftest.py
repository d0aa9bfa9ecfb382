"""One loop of the small use case, run once as a person would run it, and copied for tests that break things."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from loopline.cli import app, terminal
from tests.local import longer_replay

USECASE = "tests.usecases.temperature"


class Laptop:
    """A LOOPLINE_HOME and the command in it."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    @property
    def environment(self):
        return {**os.environ, "LOOPLINE_HOME": str(self.workspace), "COLUMNS": "140"}

    def start(self, *arguments):
        """Start the command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "loopline.cli.app", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def loopline(self, *arguments, expect=0):
        """The command, in this process where it leaves no registry open: one fork server starts all steps."""
        code, out, error = (self._here if arguments[0] in {"loop", "run", "show", "explain"} else self._apart)(
            *arguments
        )
        assert code == expect, out + error
        return out if expect == 0 else error

    def _apart(self, *arguments):
        process = self.start(*arguments)
        out, error = process.communicate(timeout=600)
        return process.returncode, out, error

    def _here(self, *arguments):
        out, error = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(error):
            patched.setattr(sys, "argv", ["loopline", *arguments])
            patched.setattr(sys, "path", sys.path[:])
            patched.setitem(sys.modules, "kubernetes_validate", sys.modules.get("kubernetes_validate"))
            patched.setattr(terminal, "console", Console(file=out, width=140))
            for name, value in self.environment.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as left:
                app.main()
        return left.value.code or 0, out.getvalue(), error.getvalue()

    def summary(self):
        return json.loads((self.workspace / "report" / "summary.json").read_text())

    def runs(self, pipeline):
        found = [json.loads(file.read_text()) for file in (self.workspace / "runs").glob(f"{pipeline}-*/run.json")]
        return sorted(found, key=lambda run: run["started"])

    def step(self, pipeline, name):
        (step,) = [step for step in self.runs(pipeline)[-1]["steps"] if step["name"] == name]
        return step


@pytest.fixture(scope="session")
def looped(tmp_path_factory):
    """A workspace in which the loop has run; tests only read it."""
    laptop = Laptop(tmp_path_factory.mktemp("looped") / "workspace")
    laptop.loopline("loop", "--usecase", USECASE, "--no-release")
    return laptop


@pytest.fixture
def laptop(looped, tmp_path):
    """A workspace of one's own in which the loop has run at the same place, so that cached artifacts are found."""
    kept = tmp_path / "kept"
    shutil.copytree(looped.workspace, kept, symlinks=True)
    yield looped
    shutil.rmtree(looped.workspace)
    shutil.move(kept, looped.workspace)


@pytest.fixture
def fresh(tmp_path):
    """An empty workspace."""
    return Laptop(tmp_path / "workspace")


@pytest.fixture(scope="session")
def longer(tmp_path_factory):
    """A workspace in which the loop of a longer replay has run, without releases; tests release there."""
    folder = tmp_path_factory.mktemp("longer")
    package = longer_replay.package(folder)
    with pytest.MonkeyPatch.context() as patched:
        longer_replay.importable(folder, patched)
        laptop = Laptop(folder / "workspace")
        patched.setenv("LOOPLINE_HOME", str(laptop.workspace))
        laptop.loopline("loop", "--usecase", package, "--no-release")
        yield laptop

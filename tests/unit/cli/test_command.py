"""The command as people use it: one line and exit code 1 for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loopline.cli import app, replaying
from loopline.cli.template import make
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError

LOOPLINE = [sys.executable, "-m", "loopline.cli.app"]


def loopline(*arguments, workspace, cwd="."):
    return subprocess.run(
        [*LOOPLINE, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "LOOPLINE_HOME": str(workspace)},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "training", "--usecase", "usecases.flihgts"), "there is no use case 'usecases.flihgts'"),
        (("run", "trainign"), "there is no pipeline 'trainign'"),
        (("run", "training", "--param", "strat=2013-01-01"), "did you mean 'start'"),
        (("run", "training", "--param", "start"), "is not a name=value pair"),
        (("run", "training", "--param", "target=trainjob"), "LOOPLINE_BUCKET is not set"),
        (("show", "nonsense"), "there is no run 'nonsense'"),
        (("explain", "last", "train"), "there is no run 'last'"),
    ],
)
def test_errors_are_one_line(arguments, sentence, tmp_path):
    done = loopline(*arguments, workspace=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_home_that_kfp_would_rewrite_is_refused(tmp_path):
    done = loopline("runs", workspace=tmp_path / "python3")
    assert done.returncode == 1
    assert "choose another" in done.stderr


def test_new_usecase_is_a_loadable_copy_under_its_own_name(tmp_path, monkeypatch):
    folder = make("mine", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert folder == tmp_path / "usecases" / "mine"
    assert usecase.read_spec(folder / "usecase.yaml").name == "mine"
    assert {path.name for path in folder.iterdir()} >= {
        "__init__.py", "source.py", "features.py", "usecase.yaml", "requirements.txt",
    }  # fmt: skip


def test_new_usecase_refuses_bad_and_taken_names(tmp_path):
    with pytest.raises(LooplineError, match="cannot be a package"):
        make("My-Case", tmp_path)
    with pytest.raises(LooplineError, match="cannot be a package"):
        make("class", tmp_path)
    make("mine", tmp_path)
    with pytest.raises(LooplineError, match="exists already"):
        make("mine", tmp_path)


def test_the_command_answers_without_importing_the_world():
    heavy = ("kfp", "mlflow", "torch", "feast", "pandas")
    script = f"import sys, loopline.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("flags", "releases"), [([], True), (["--no-release"], False)])
def test_the_loop_releases_unless_asked_not_to(monkeypatch, flags, releases):
    asked = []
    monkeypatch.setattr(replaying, "replay", lambda *_, **how: asked.append(how))
    assert CliRunner().invoke(app.app, ["loop", *flags]).exit_code == 0
    assert asked == [{"reuse": True, "release": releases}]

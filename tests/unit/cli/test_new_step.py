"""``loopline new-step``: what it writes passes its test and the linters, and compiles."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from loopline import project
from loopline.cli.new_step import scaffold
from loopline.components.errors import LooplineError
from loopline.images import catalogue

DAG = '''"""A DAG of one new step."""

from kfp import dsl

from loopline.components.data.component import ingest
from loopline.components.validation.component import check_fairness


@dsl.pipeline(name="fairness")
def fairness(usecase: str, start: str, end: str) -> None:
    """Check fairness."""
    check_fairness(given=ingest(usecase=usecase, start=start, end=end).outputs["raw"])
'''


@pytest.fixture
def checkout(tmp_path):
    """A copy of the parts of this checkout that a step touches or compiles with."""
    for name in ("src", "components", "pipelines", "images"):
        shutil.copytree(project.ROOT / name, tmp_path / name, symlinks=True)
    (tmp_path / "usecases").mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copyfile(project.ROOT / name, tmp_path / name)
    return tmp_path


def python(checkout: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=checkout, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_it_writes_is_clean_in_every_stage(checkout):
    for stage in catalogue.STAGES:
        assert all(file.is_file() for file in scaffold(stage, "check_fairness", checkout))
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "components", "tests"], capture_output=True, text=True, cwd=checkout, check=False
        )
        assert done.returncode == 0, done.stdout


def test_its_test_passes_and_a_dag_with_it_compiles(checkout):
    _, _, test = scaffold("validation", "check_fairness", checkout)
    (checkout / "pipelines" / "fairness.py").write_text(DAG)
    script = (
        "import sys, pytest; pytest.main(sys.argv[1:]); from loopline.cli.app import app; app(['compile', 'fairness'])"
    )
    said = python(checkout, "-c", script, "-q", "--rootdir", str(checkout), "-c", os.devnull, str(test))
    assert "3 passed" in said
    ir = next(yaml.safe_load_all((checkout / "build" / "pipelines" / "fairness.yaml").read_text()))
    assert set(ir["root"]["dag"]["tasks"]) == {"ingest", "check-fairness"}
    assert "retryPolicy" not in ir["root"]["dag"]["tasks"]["check-fairness"]


@pytest.mark.parametrize(
    ("stage", "name", "sentence"),
    [
        ("fairness", "check", "there is no stage 'fairness'; there are data, features"),
        ("serving", "check", "there is no stage 'serving'"),
        ("data", "Check-It", "'Check-It' cannot be a function"),
        ("data", "class", "'class' cannot be a function"),
        ("data", "ingest", "stage data already has ingest"),
        ("data", "validate_data", "stage data already has validate_data"),
    ],
)
def test_what_it_refuses(checkout, stage, name, sentence):
    with pytest.raises(LooplineError, match=sentence):
        scaffold(stage, name, checkout)


def test_outside_a_checkout_it_says_so(tmp_path):
    with pytest.raises(LooplineError, match="this needs a checkout of Loopline: clone the repository"):
        scaffold("data", "check", tmp_path)

"""The small use case with more to ask about, as a package of its own: a release takes some thousand questions."""

import importlib
import shutil
import sys

import yaml

from loopline.components.contract import usecase

PACKAGE = "temperature_of_a_year"
SMALL = "tests.usecases.temperature"
# What was learned in April and in May is 0.72 apart in its scores, and a version's first answers take longer.
POLICY = {
    "steps": [50],
    "requests": [100, 800],
    "scores": {"worse_by": 0.76},
    "latency": {"worse_by": 0.4},
}


def package(folder):
    """Write the package below a folder that Python can import from, and return its name."""
    made = folder / PACKAGE
    shutil.copytree(usecase.load(SMALL).folder, made, ignore=shutil.ignore_patterns("__pycache__"))
    spec = yaml.safe_load((made / "usecase.yaml").read_text())
    spec["replay"]["compare"] = [spec["replay"]["compare"][0], "2013-12-30"]
    spec["release"] = POLICY
    (made / "usecase.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return PACKAGE


def importable(folder, monkeypatch):
    """Let this process and those that it starts import from a folder."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(folder), *filter(None, sys.path)]))
    importlib.invalidate_caches()

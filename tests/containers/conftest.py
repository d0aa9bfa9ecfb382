"""An engine, the images of this code, and the same pipelines run in them and in this environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from loopline.components.contract import usecase
from loopline.images import catalogue
from loopline.images.builder import Builder
from loopline.images.building import build_images
from loopline.project import ROOT as PROJECT

# A program that brings up an engine (`up`) and prints what to export (`env`), for machines without one.
STARTER = Path(os.environ.get("LOOPLINE_CONTAINER_ENGINE", PROJECT.parent / "shared" / "tools" / "container-engine"))
WINDOWS = {
    "training": ["start=2013-01-01", "end=2013-01-15", "evaluate_start=2013-01-15", "evaluate_end=2013-01-22"],
    "batch_inference": ["start=2013-01-22", "end=2013-01-24", "version=1"],
}


def answers() -> bool:
    """Whether docker's API is served here."""
    try:
        client = docker.from_env()
        client.close()
    except docker.errors.DockerException:
        return False
    return True


@pytest.fixture(scope="session", autouse=True)
def engine():
    """Docker's client, to look into images with."""
    if not answers() and STARTER.is_file():
        subprocess.run([STARTER, "up"], check=True, capture_output=True)
        exported = subprocess.run(
            ["bash", "-c", 'eval "$("$0" env)"; env -0', STARTER], check=True, capture_output=True, text=True
        )
        os.environ.update(line.split("=", 1) for line in exported.stdout.split("\0") if line)
    if not answers():
        pytest.skip("no container engine: neither docker nor podman's socket (DOCKER_HOST) answers")
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="session")
def builder(engine):
    return Builder.find()


@pytest.fixture(scope="session")
def built(builder):
    """All images of this code by name, built now unless they are there."""
    case = usecase.load("loopline.usecases.flights")
    return {image.image.name: image for image in build_images(builder, catalogue.chosen([]), case, print)}


def loopline(*arguments, home=None, cwd=PROJECT, expect=0):
    """The command as people call it: what it prints, or its error if it is expected to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "loopline.cli.app", *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "COLUMNS": "200",
            "PYTHONPATH": str(Path(cwd) / "src"),
            **({"LOOPLINE_HOME": str(home)} if home else {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stderr if expect else done.stdout


class Home:
    """A LOOPLINE_HOME in which the pipelines have run."""

    def __init__(self, root, *options):
        self.root = root
        for pipeline, windows in WINDOWS.items():
            parameters = [word for pair in windows for word in ("--param", pair)]
            loopline("run", pipeline, *parameters, *options, home=root)

    def steps(self):
        """Each step of the first run of each pipeline, by pipeline and name."""
        found = {}
        for file in sorted((self.root / "runs").glob("*/run.json"), reverse=True):
            run = json.loads(file.read_text())
            found |= {(run["pipeline"], step["name"]): step for step in run["steps"]}
        return found


@pytest.fixture(scope="session")
def in_containers(built, tmp_path_factory):
    return Home(tmp_path_factory.mktemp("containers") / "home", "--containers")


@pytest.fixture(scope="session")
def in_processes(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("processes") / "home")

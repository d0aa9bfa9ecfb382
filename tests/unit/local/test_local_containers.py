"""Steps in containers: what they may do, what is said when they fail, and what is left behind."""

import os
import subprocess
import sys
from types import SimpleNamespace

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local import containers as module
from loopline.local.containers import Containers, failure_sentence
from loopline.local.workspace import Workspace


class Container:
    def __init__(self, lines=(), code=0, labels=None):
        self.lines, self.code, self.labels, self.removed = lines, code, labels or {}, False

    def start(self):
        if isinstance(self.code, Exception):
            raise self.code

    def logs(self, **_):
        return iter(self.lines)

    def wait(self):
        return {"StatusCode": self.code}

    def remove(self, **_):
        self.removed = True


class Engine:
    """The part of docker's client that is used."""

    def __init__(self, options=()):
        self.options, self.container, self.there, self.left, self.asked = options, Container(), set(), [], {}
        self.images = SimpleNamespace(get=self._image)
        self.containers = SimpleNamespace(create=self._create, list=lambda **_: self.left)

    def info(self):
        return {"SecurityOptions": list(self.options)}

    def _image(self, name):
        if name not in self.there:
            raise ImageNotFound(name)

    def _create(self, image, command, **options):
        self.asked = options
        return self.container


@pytest.fixture
def engine(monkeypatch):
    fake = Engine()
    monkeypatch.setattr(docker, "from_env", lambda: fake)
    return fake


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


def run(workspace, arguments=None, lines=None):
    progress = [] if lines is None else lines
    return Containers(workspace, arguments or {}, {"registry", "destination"}).run(
        "a:1", ["true"], {"X": "y"}, workspace.root / "log", progress.append
    )


def test_without_an_engine_one_sentence_says_what_to_start(workspace, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{workspace.root}/none.sock")
    with pytest.raises(LooplineError, match="need docker or podman's socket, and neither answers"):
        Containers(workspace, {})


def test_an_image_with_older_code_is_no_substitute(workspace, engine):
    engine.there = {"loopline-data:new"}
    containers = Containers(workspace, {})
    containers.require(["loopline-data:new"], usecase.load("loopline.usecases.flights"))
    with pytest.raises(LooplineError, match=r"there is no image loopline-data:newer, .* build it with `make images`"):
        containers.require(["loopline-data:new", "loopline-data:newer"], usecase.load("loopline.usecases.flights"))
    with pytest.raises(LooplineError, match=r"`loopline images --usecase tests.usecases.temperature`"):
        containers.require(["loopline-data:newer"], usecase.load("tests.usecases.temperature"))


def test_a_step_may_do_little(workspace, engine):
    assert run(workspace) == 0
    asked = engine.asked
    assert asked["read_only"] is True
    assert asked["network_mode"] == "none"
    assert asked["cap_drop"] == ["ALL"]
    assert asked["security_opt"] == ["no-new-privileges"]
    assert list(asked["tmpfs"]) == ["/tmp"]
    assert asked["user"] == f"{os.getuid()}:{os.getgid()}"
    assert asked["environment"] == {"X": "y"}
    assert asked["volumes"] == {str(workspace.root): {"bind": str(workspace.root), "mode": "rw"}}
    assert engine.container.removed


def test_a_url_opens_the_network_and_forwards_the_variables_for_it(workspace, engine, monkeypatch):
    for name in module.FORWARDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("SOMETHING_ELSE", "secret")
    run(workspace, {"destination": "s3://bucket/predictions", "registry": workspace.registry})
    assert engine.asked["network_mode"] == "host"
    assert engine.asked["environment"] == {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "X": "y"}


def test_a_database_file_is_no_url(workspace, engine):
    run(workspace, {"registry": workspace.registry, "start": "2013-01-01"})
    assert engine.asked["network_mode"] == "none"


def test_locations_outside_of_the_workspace_are_mounted_too(workspace, engine, tmp_path):
    run(workspace, {"destination": str(tmp_path / "elsewhere"), "registry": f"sqlite:///{tmp_path}/models/mlflow.db"})
    assert set(engine.asked["volumes"]) == {str(workspace.root), str(tmp_path / "elsewhere"), str(tmp_path / "models")}


def test_in_a_rootless_engine_root_is_the_caller(workspace, engine):
    engine.options = ("name=seccomp", "name=rootless")
    run(workspace)
    assert engine.asked["user"] == "0:0"


def test_selinux_gets_its_label(workspace, engine):
    engine.options = ("name=selinux",)
    run(workspace)
    assert engine.asked["volumes"][str(workspace.root)]["mode"] == "rw,z"


def test_a_failure_is_a_failure_however_quick(workspace, engine):
    engine.container = Container([b"Traceback\n"], 1)
    assert run(workspace) == 1
    assert engine.container.removed


def test_output_is_kept_and_reported_line_by_line(workspace, engine):
    engine.container = Container([b"one\ntw", b"o\n\nthr", b"ee"])
    lines = []
    run(workspace, lines=lines)
    assert lines == ["one", "two", "three"]
    assert (workspace.root / "log").read_bytes() == b"one\ntwo\n\nthree"


def test_an_engine_that_refuses_is_quoted(workspace, engine):
    engine.container = Container(code=APIError("400", explanation="no such runtime"))
    with pytest.raises(LooplineError, match="the container engine could not run a:1: no such runtime"):
        run(workspace)
    assert engine.container.removed


def test_containers_of_killed_runs_end_and_those_at_work_do_not(workspace, engine):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = Container(labels={module.PROCESS_LABEL: str(gone.pid)})
    alive = Container(labels={module.PROCESS_LABEL: str(os.getpid())})
    engine.left = [dead, alive]
    Containers(workspace, {}).remove_leftovers()
    assert (dead.removed, alive.removed) == (True, False)


@pytest.mark.parametrize(
    ("log", "code", "sentence"),
    [
        (
            "Traceback (most recent call):\n  raise\nloopline.components.errors.LooplineError: no rows; widen it\n",
            1,
            "no rows; widen it",
        ),
        ("Traceback\nloopline.components.errors.CorruptArtifactError: a is damaged\n", 1, "a is damaged"),
        ("Traceback\nValueError: bad: value\n", 1, "ValueError: bad: value"),
        ("OSError: [Errno 28] No space left on device\n", 1, "the disk is full; free some space"),
        ("anything\n", 137, "its container was killed, perhaps because it ran out of memory"),
        ("", 3, "exit code 3; see"),
    ],
)
def test_a_failure_is_reported_in_one_sentence(tmp_path, log, code, sentence):
    file = tmp_path / "log"
    file.write_text(log)
    assert failure_sentence(file, code).startswith(sentence)


def test_a_log_that_was_never_written_is_no_second_failure(tmp_path):
    assert failure_sentence(tmp_path / "none", 125).startswith("exit code 125")

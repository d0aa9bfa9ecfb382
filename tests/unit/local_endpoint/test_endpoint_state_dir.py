"""State of an endpoint: one process runs it, and others can tell."""

import multiprocessing
from pathlib import Path

import pytest

from loopline.components.contract import usecase
from loopline.components.deployment.targets.state_dir import StateDir, Status, VersionStatus
from loopline.components.errors import LooplineError
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace


def status(**versions: VersionStatus) -> Status:
    """A status with some versions."""
    return Status(1, 2, 8080, 9901, "state", "triton", "", versions)


def test_status_is_told_only_while_somebody_runs_the_endpoint(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    told = status(**{"1": VersionStatus(ready=True, percent=100, processes={"transformer": 5}, ports={"http": 6})})
    with state_dir.locked():
        assert state_dir.running()
        assert state_dir.status() is None
        state_dir.write_status(told)
        assert state_dir.status() == told
    assert not state_dir.running()
    assert state_dir.status() is None


def _hold(root: Path, held: "multiprocessing.synchronize.Event", leave: "multiprocessing.synchronize.Event") -> None:
    with StateDir(root).locked():
        held.set()
        leave.wait(30)


def test_a_second_process_is_refused_and_a_dead_one_leaves_nothing_locked(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, leave))
    other.start()
    assert held.wait(30)
    with pytest.raises(LooplineError, match="runs already"), StateDir(tmp_path).locked():
        pass
    other.kill()
    other.join(10)
    with StateDir(tmp_path).locked():
        pass


@pytest.mark.parametrize(
    ("versions", "ready"),
    [
        ({}, False),
        ({"1": VersionStatus(ready=True, percent=0)}, False),
        ({"1": VersionStatus(ready=True, percent=100)}, True),
        ({"1": VersionStatus(ready=True, percent=95), "2": VersionStatus(ready=False, percent=5)}, False),
        ({"1": VersionStatus(ready=True, percent=100), "2": VersionStatus(ready=False, percent=0)}, True),
    ],
)
def test_ready_is_what_gets_requests(versions: dict[str, VersionStatus], ready: bool) -> None:
    assert status(**versions).ready is ready


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_weight_is_a_percentage(tmp_path: Path, percent: int) -> None:
    with pytest.raises(LooplineError, match="0 to 100 percent"):
        Endpoint(Workspace(tmp_path), usecase.load("loopline.usecases.flights")).set_canary(2, percent)


def test_without_an_endpoint_nothing_is_changed(tmp_path: Path) -> None:
    endpoint = Endpoint(Workspace(tmp_path), usecase.load("loopline.usecases.flights"))
    for change in (lambda: endpoint.set_canary(2, 5), lambda: endpoint.promote(2), endpoint.remove_canary):
        with pytest.raises(LooplineError, match="no endpoint of flights runs"):
            change()
    assert endpoint.status() is None

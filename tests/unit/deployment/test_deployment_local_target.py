"""The endpoint of this machine as a target: fencing, locks and what becomes of a canary that does not come up."""

import json
import multiprocessing
import os
import signal
from datetime import timedelta
from types import SimpleNamespace

import pytest

from loopline.components.deployment.kserve import render
from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.target import CanaryFailedError, StaleActionError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.targets import local as local_target
from loopline.components.deployment.targets.local import LocalTarget
from loopline.components.errors import LooplineError
from tests.unit.deployment.simulated_world import World
from tests.unit.deployment.test_deployment_render import service


class FakeEndpoint:
    """An endpoint whose processes are a dict."""

    def __init__(self, root):
        self.state_dir = SimpleNamespace(path=root, desired=lambda: self.desired)
        self.desired = service(version="7")
        self.name = "flights"
        self.calls = []
        self.versions = {"7": SimpleNamespace(problem="")}
        self.runs = True
        self.refuses = ""

    def set_canary(self, version, percent):
        if self.refuses:
            raise LooplineError(self.refuses)
        self.calls.append(("set", version, percent))
        self.versions[str(version)] = SimpleNamespace(problem="")

    def promote(self, version):
        self.calls.append(("promote", version))

    def remove_canary(self):
        self.calls.append(("remove",))

    def status(self):
        return SimpleNamespace(versions=self.versions) if self.runs else None


@pytest.fixture
def endpoint(tmp_path):
    return FakeEndpoint(tmp_path)


@pytest.fixture
def target(endpoint):
    return LocalTarget(endpoint)


@pytest.fixture
def record(target):
    made = World().controller().begin("8")
    target.store(made)
    return made


def test_actions_reach_the_endpoint(target, endpoint, record):
    shift = transitions.next_action(record)
    for kind in ("shift", "shift", "promote", "roll back"):
        target.apply(shift.model_copy(update={"kind": kind}), record)
    assert endpoint.calls == [("set", 8, 20), ("set", 8, 20), ("promote", 8), ("remove",)]
    assert target.record() == record


def test_a_stale_action_is_refused_also_after_a_restart(endpoint, target, record):
    action = transitions.next_action(record)
    target.apply(action.model_copy(update={"generation": 4}), record)
    with pytest.raises(StaleActionError, match="and 4 was carried out"):
        LocalTarget(endpoint).apply(action, record)
    assert len(endpoint.calls) == 1


def test_a_canary_that_does_not_come_up(target, endpoint, record):
    endpoint.refuses = "version 8 is not ready"
    with pytest.raises(CanaryFailedError, match="version 8 is not ready"):
        target.apply(transitions.next_action(record), record)
    endpoint.runs = False
    with pytest.raises(LooplineError) as raised:
        target.apply(transitions.next_action(record), record)
    assert not isinstance(raised.value, CanaryFailedError), "an endpoint that does not run says nothing of the canary"


def test_health_of_the_canary(target, endpoint, record, monkeypatch):
    monkeypatch.setattr(local_target, "UNREADY_SECONDS", 0.01)
    assert target.failure(record) == "it does not run"
    target.apply(transitions.next_action(record), record)
    assert target.failure(record) is None
    endpoint.versions["8"].problem = "its transformer was killed by SIGKILL"
    assert target.failure(record) == "its transformer was killed by SIGKILL"
    endpoint.runs = False
    with pytest.raises(LooplineError, match="start it with `loopline serve`, and release again to continue"):
        target.failure(record)


def test_one_process_releases(target, endpoint):
    other = LocalTarget(endpoint)
    with target.locked(), pytest.raises(LooplineError, match="another process carries out a release"), other.locked():
        pass
    with target.locked():
        pass


def test_standing(target, endpoint):
    endpoint.desired = render.with_canary(endpoint.desired, "8", 20)
    assert target.traffic_split() == TrafficSplit("7", "8", 20)
    endpoint.desired = render.without_canary(endpoint.desired)
    assert target.traffic_split() == TrafficSplit("7")


class KeptEndpoint(FakeEndpoint):
    """An endpoint whose weights outlive the process that sets them, which may be killed before or after that."""

    def __init__(self, root, dies_at=None):
        super().__init__(root)
        self.file, self.effects, self.dies_at = root / "weights.json", 0, dies_at
        self.state_dir.desired = self.rendered

    def keep(self, stable, canary, percent):
        self.effects += 1
        if self.dies_at == self.effects - 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
        self.file.write_text(json.dumps([stable, canary, percent]))
        if self.dies_at == self.effects:
            os.kill(os.getpid(), signal.SIGKILL)

    def kept(self):
        return json.loads(self.file.read_text()) if self.file.exists() else ["7", None, 0]

    def rendered(self):
        stable, canary, percent = self.kept()
        made = service(version=stable)
        return render.with_canary(made, canary, percent) if canary else made

    def set_canary(self, version, percent):
        self.keep("7", str(version), percent)

    def promote(self, version):
        self.keep(str(version), None, 0)

    def remove_canary(self):
        self.keep("7", None, 0)

    def status(self):
        return SimpleNamespace(versions={"7": SimpleNamespace(problem=""), "8": SimpleNamespace(problem="")})


def release(root, dies_at):
    """One process of a release, against files."""
    endpoint = KeptEndpoint(root, dies_at)
    target, world = LocalTarget(endpoint), World()
    if last := target.record():
        world.time = last.lease - transitions.LEASE + timedelta(minutes=1)

    def sleep(seconds):
        world.split = target.traffic_split()
        world.sleep(seconds)

    with target.locked():
        controller = world.controller(target=target, sleep=sleep)
        controller.begin("8")
        controller.reconcile()


@pytest.mark.parametrize("at", [0.5, 1, 1.5, 2, 2.5, 3])
def test_killed_with_signal_9_another_process_goes_on(tmp_path, at):
    processes = multiprocessing.get_context("fork")
    first = processes.Process(target=release, args=(tmp_path, at))
    first.start()
    first.join(120)
    assert first.exitcode == -signal.SIGKILL
    second = processes.Process(target=release, args=(tmp_path, None))
    second.start()
    second.join(120)
    assert second.exitcode == 0
    endpoint = KeptEndpoint(tmp_path)
    assert endpoint.kept() == ["8", None, 0]
    record = LocalTarget(endpoint).record()
    assert record.outcome == "promoted"
    assert [event.kind for event in record.events] == ["shifted", "decided", "shifted", "decided", "ended"]

"""The demo_steps, demo_run at an endpoint in memory: promoted, caught, cut short, killed anywhere."""

from types import SimpleNamespace

import pytest
from packaged import model

from loopline.components.contract import usecase
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.errors import LooplineError
from loopline.components.registry import rollback
from loopline.demo import demo
from loopline.demo.demo import OUT_OF_TIME, OWNER, Demo, was_stopped
from loopline.demo.step import PackagedVersion
from loopline.local.workspace import Workspace
from tests.canary_traffic import BAD, CANARY, STABLE
from tests.unit.deployment.simulated_world import Killed, World

CASE = usecase.load("loopline.usecases.flights")
TASK = CASE.spec.task
DEGRADED_STABLE, DEGRADED_CANARY = "907", "908"
MISCALIBRATED = BAD["miscalibrated by 0.1"]
# What a process does beyond itself: the record begun; for each step shifted, stored, decided; ended, stored.
EFFECTS = 9 + 6


class Here(World):
    """The endpoint of this machine, where a roll back removes the canary and nothing else."""

    def apply(self, action, record):
        super().apply(action, record.model_copy(update={"stable": self.split.stable}))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {number: model(folder / str(number), TASK, "flights", steepness=number) for number in (7, 8)}


@pytest.fixture
def champion(models):
    return PackagedVersion(int(STABLE), models[7])


@pytest.fixture
def challenger(models):
    return PackagedVersion(int(CANARY), models[8])


@pytest.fixture
def restored(monkeypatch):
    found = []
    monkeypatch.setattr(rollback, "restore_champion", lambda name, registry, *versions: found.append(versions))
    return found


@pytest.fixture
def new_demo(tmp_path, restored):
    """Makes a demo, as a loop does after it has started an endpoint."""

    def make(world, **traffic):
        world.behaviour |= {DEGRADED_STABLE: MISCALIBRATED, DEGRADED_CANARY: MISCALIBRATED}
        world.split = TrafficSplit(STABLE)
        state_dir = SimpleNamespace(model=lambda number: tmp_path / f"v{number}")
        asked = SimpleNamespace(**{"running": True, "answered": 0, "failed": 0, **traffic})
        controller = world.controller(OWNER)
        return Demo(Workspace(tmp_path), CASE, lambda _: None, SimpleNamespace(state_dir=state_dir), controller, asked)

    return make


def test_the_good_one_is_promoted_and_the_degraded_one_rolled_back(new_demo, champion, challenger, restored):
    first, second = new_demo(Here()).run(champion, challenger)
    assert (first.record.stable, first.record.canary, first.record.outcome) == (STABLE, CANARY, "promoted")
    assert (second.record.stable, second.record.canary, second.record.outcome) == (
        CANARY,
        DEGRADED_CANARY,
        "rolled back",
    )
    assert first.canary == "version 8, trained on newer data"
    assert second.canary == "version 8, deliberately made worse: every probability is its square root"
    assert not was_stopped(first)
    assert not was_stopped(second)
    assert restored == []


def test_without_a_challenger_the_champion_is_made_worse(new_demo, champion):
    (step,) = new_demo(Here()).run(champion, None)
    assert (step.record.stable, step.record.canary, step.record.outcome) == (
        STABLE,
        DEGRADED_STABLE,
        "rolled back",
    )


def test_a_challenger_that_is_rolled_back_is_champion_no_longer(new_demo, champion, challenger, restored):
    first, second = new_demo(Here(canary=MISCALIBRATED)).run(champion, challenger)
    assert first.record.outcome == "rolled back"
    assert restored == [(8, 7)]
    assert (second.record.stable, second.record.canary) == (STABLE, DEGRADED_STABLE), "of the one that serves"


def test_no_more_traffic_decides_nothing(new_demo, champion, challenger, restored):
    (step,) = new_demo(Here(), running=False).run(champion, challenger)
    assert step.record.outcome == "rolled back"
    assert step.record.reason == OUT_OF_TIME
    assert was_stopped(step)
    assert restored == [], "nothing was seen that speaks against it"


def test_no_more_time(new_demo, champion, challenger, monkeypatch):
    monkeypatch.setattr(demo, "STEP_SECONDS", 0)
    first, second = new_demo(Here()).run(champion, challenger)
    assert {first.record.reason, second.record.reason} == {OUT_OF_TIME}


def test_too_few_answers_for_a_baseline(new_demo, champion, monkeypatch):
    monkeypatch.setattr(demo, "BASELINE_REQUESTS", 5_000)
    with pytest.raises(LooplineError, match="answered fewer than 5000 requests in all"):
        new_demo(Here(), running=False).run(champion, None)


def test_each_step_has_the_requests_that_came_in_it(new_demo, champion, challenger):
    world = Here()
    demo_run = new_demo(world)
    sleep = world.sleep

    def pass_time(seconds):
        sleep(seconds)
        demo_run.traffic.answered += 60
        demo_run.traffic.failed += 1

    object.__setattr__(demo_run.controller, "sleep", pass_time)
    first, second = demo_run.run(champion, challenger)
    assert first.answered + second.answered == demo_run.traffic.answered
    assert first.failed > second.failed > 0


@pytest.mark.parametrize("at", [half / 2 for half in range(1, 2 * EFFECTS)])
def test_killed_anywhere_the_next_loop_finishes_both(new_demo, champion, challenger, at):
    """Before and after each write and each change of weights; the endpoint has ended with the loop."""
    world = Here(dies_at=at)
    with pytest.raises(Killed):
        new_demo(world).run(champion, challenger)
    killed = world.kept
    first, second = new_demo(world).run(champion, challenger)
    assert (first.record.outcome, second.record.outcome) == ("promoted", "rolled back")
    assert not was_stopped(first)
    assert not was_stopped(second)
    assert first.record.generation > (killed.generation if killed else 0)
    assert world.split == TrafficSplit(CANARY)


def test_a_release_of_somebody_else_is_left_alone(new_demo, champion, challenger):
    world = Here()
    world.controller("anna@desk").begin(CANARY)
    with pytest.raises(LooplineError, match="belongs to anna@desk until"):
        new_demo(world).run(champion, challenger)
    assert world.kept.outcome is None

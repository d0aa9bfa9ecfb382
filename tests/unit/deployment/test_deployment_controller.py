"""A release carried out against an endpoint in memory: good, bad, killed anywhere, disturbed, blind."""

from datetime import timedelta

import pyarrow as pa
import pytest

from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.target import CanaryFailedError, StaleActionError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import LEASE
from loopline.components.errors import LooplineError
from tests.canary_traffic import BAD as SUBTLE
from tests.canary_traffic import CANARY, GOOD, STABLE, Behaviour
from tests.unit.deployment.simulated_world import Killed, World

BAD = {**SUBTLE, "twice the errors": Behaviour(errors=0.12)}  # what steps of 1,000 requests can tell
# What a process does beyond itself: the record begun; for each step shifted, stored, decided; ended, stored.
EFFECTS_OF_PROMOTION, EFFECTS_OF_ROLLBACK = 9, 6
GOOD_WALK = [("shift", 20), ("shift", 50), ("promote", 100)]


def released(world, **changes):
    controller = world.controller(**changes)
    controller.begin(CANARY)
    return controller.reconcile()


def test_a_good_canary_is_promoted_step_by_step():
    world = World()
    record = released(world)
    assert record.outcome == "promoted"
    assert world.done == GOOD_WALK
    assert world.split == TrafficSplit(CANARY)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_canary_is_rolled_back(kind):
    world = World(canary=BAD[kind])
    record = released(world)
    assert record.outcome == "rolled back"
    assert world.done[-1] == ("roll back", 0)
    assert world.split == TrafficSplit(STABLE)
    assert "worse than allowed" in record.events[-2].decision.reason


@pytest.mark.parametrize(
    ("canary", "at"),
    [("good", half / 2) for half in range(1, 2 * EFFECTS_OF_PROMOTION + 1)]
    + [("miscalibrated by 0.1", half / 2) for half in range(1, 2 * EFFECTS_OF_ROLLBACK)],  # after the last it is over
)
def test_killed_anywhere_it_is_gone_on_with(canary, at):
    """Before and after each write and each change of weights; the controller after that knows only what was stored."""
    world = World(canary=BAD.get(canary, GOOD), dies_at=at)
    with pytest.raises(Killed):
        released(world)
    record = released(world)
    assert record.outcome == ("promoted" if canary == "good" else "rolled back")
    assert world.split == TrafficSplit(CANARY if canary == "good" else STABLE)
    steps = [event.decision.step.number for event in record.events if event.kind == "decided"]
    assert steps == sorted(set(steps)), "no step is decided twice"
    walk = [done for n, done in enumerate(world.done) if not n or done != world.done[n - 1]]
    assert walk == (GOOD_WALK if canary == "good" else [GOOD_WALK[0], ("roll back", 0)])


def test_a_release_that_was_made_is_not_made_again():
    world = World()
    first = released(world)
    assert released(world) == first
    assert world.done == GOOD_WALK


def test_a_version_that_was_rolled_back_can_be_released_anew():
    world = World(canary=BAD["twice the errors"])
    released(world)
    world.behaviour[CANARY] = world.behaviour[STABLE]
    world.log = world.log[:1]
    assert released(world).outcome == "promoted"


def test_another_release_waits():
    world = World()
    world.controller().begin(CANARY)
    with pytest.raises(LooplineError, match=f"is being released to version {CANARY} by run-1"):
        world.controller("run-2").begin("9")
    with pytest.raises(LooplineError, match="belongs to run-1 until"):
        world.controller("run-2").begin(CANARY)


def test_taken_over_once_the_lease_has_run_out_and_then_left_alone():
    world = World()
    first = world.controller()
    first.begin(CANARY)
    first.reconcile(seconds=0)
    world.time += LEASE + timedelta(seconds=1)
    second = world.controller("run-2")
    second.begin(CANARY)
    with pytest.raises(LooplineError, match="belongs to run-2 now"):
        first.reconcile()
    assert second.reconcile().outcome == "promoted"


def test_a_long_wait_keeps_the_lease_and_writes_seldom():
    world = World()

    def pass_time(seconds):
        world.time += timedelta(minutes=1)

    controller = world.controller(sleep=pass_time)
    controller.begin(CANARY)
    generation, began = world.kept.generation, world.time
    controller.reconcile(seconds=3600)
    assert world.time - began > 3 * LEASE
    assert world.kept.lease > world.time
    assert world.kept.generation - generation <= 14, "60 looks, and one in five or so is written"


def test_a_bounded_run_stops_in_the_middle_and_the_next_goes_on():
    world = World()
    looks = 0
    world.controller().begin(CANARY)
    while world.controller().reconcile(seconds=20).outcome is None:
        looks += 1
    assert looks > 1
    assert world.kept.outcome == "promoted"
    assert world.done == GOOD_WALK


def test_a_crash_of_the_canary_rolls_back_at_once():
    world = World()
    world.failing = "its process ended with code 1"
    record = released(world)
    assert record.outcome == "rolled back"
    assert record.events[-2].decision.reason == "the canary does not serve: its process ended with code 1"


def test_a_canary_that_does_not_come_up_is_rolled_back_with_the_reason():
    world = World()
    apply = world.apply

    def fails(action, record):
        if action.kind == "shift":
            raise CanaryFailedError("version 8 does not become ready: its model cannot be loaded")
        apply(action, record)

    world.apply = fails
    record = released(world)
    assert record.outcome == "rolled back"
    assert "cannot be loaded" in record.events[-2].reason
    assert world.done == [("roll back", 0)]


def test_no_metrics_roll_back():
    world = World()

    def blind(since):
        if world.split.canary:
            raise LooplineError("the log cannot be read")
        return world.log[0]

    record = released(world, read_log=blind)
    assert record.outcome == "rolled back"
    assert "no metrics could be read for 5 minutes" in record.events[-2].decision.reason


def test_a_canary_that_answers_nothing_is_rolled_back():
    world = World()

    def seen(since):
        return pa.concat_tables(part for part in world.log if part["model_version"][0].as_py() == STABLE)

    record = released(world, read_log=seen)
    assert record.outcome == "rolled back"
    assert "answered nothing while the stable answered" in record.events[-2].decision.reason


def test_stopped_by_somebody_else_it_is_rolled_back():
    world = World()
    controller = world.controller()
    controller.begin(CANARY)
    controller.reconcile(seconds=20)
    world.kept = transitions.stopped(world.kept, "we need the capacity", "an operator", world.time)
    assert controller.reconcile().outcome == "rolled back"


def test_a_stale_process_changes_nothing():
    world = World()
    controller = world.controller()
    controller.begin(CANARY)
    world.fence = 10
    with pytest.raises(StaleActionError):
        controller.reconcile()
    assert world.done == []


def test_the_stable_has_had_too_few_requests():
    world = World()
    world.log[0] = world.log[0].slice(0, 50)
    with pytest.raises(LooplineError, match="answered 50 requests before the release"):
        released(world)
    assert world.kept is None


def test_the_version_that_is_served():
    world = World()
    with pytest.raises(LooplineError, match="serves already"):
        world.controller().begin(STABLE)

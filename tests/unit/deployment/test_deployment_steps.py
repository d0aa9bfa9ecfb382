"""The steps of the release DAG: in order, killed between any two of them, side by side, bounded, and run twice."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopline.components.contract.environment_policy import EnvironmentPolicy
from loopline.components.deployment import step_context, steps
from loopline.components.deployment.release import plan
from loopline.components.deployment.release.plan import Plan
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.target import CanaryFailedError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import next_action
from loopline.components.deployment.targets.connect import connect
from loopline.components.errors import LooplineError
from tests.canary_traffic import BAD, BEGIN, CANARY, GOOD, STABLE
from tests.unit.deployment.simulated_world import SPEC, Killed, World

WALK = [("shift", 20), ("shift", 50), ("promote", 100)]
WORSE = BAD["miscalibrated by 0.1"]


class Played(World):
    """The world as steps see it."""

    supplied = ()

    def service(self):
        return {"kind": "InferenceService", "traffic_split": list(self.split)}

    def rendered(self, action, record):
        if action.percent and self.failing == "refused":
            raise LooplineError("InferenceService flights: KServe would refuse it")
        return {"kind": "InferenceService", "due": [action.kind, action.percent, record.canary]}

    def upload_model(self, version, model):
        self.supplied = (*self.supplied, version)


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Have the steps act on a world; returns what names the calls of a DAG, in order."""
    monkeypatch.setattr(step_context, "load", lambda _: SimpleNamespace(spec=SPEC, package="loopline.usecases.flights"))
    monkeypatch.setattr(steps.Model, "open", staticmethod(lambda path: path))

    def on(world):
        monkeypatch.setattr(step_context, "connect", lambda *_: world)
        monkeypatch.setattr(step_context, "PredictionLogReader", lambda *_: SimpleNamespace(since=world.read_log))
        monkeypatch.setattr(
            step_context,
            "ReleaseController",
            lambda **given: world.controller(given["owner"], on_decision=given["on_decision"], pause=15.0),
        )
        return Dag(world, tmp_path)

    return on


class Dag:
    """One run after the other, as pipelines/release.py orders the steps."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.plan = self.ended = None

    def render(self, asked="champion", champion=CANARY, since=BEGIN - timedelta(days=1), wait="", owner="run-1"):
        begun = Plan(usecase="loopline.usecases.flights", target="local", log="log", owner=owner)
        model, service = "model", self.folder / "service.yaml"
        self.plan = steps.render(asked, champion, since.isoformat(), wait, begun, model, str(service))
        self.plan.write(str(self.folder / "plan.json"))
        self.plan = Plan.read(str(self.folder / "plan.json"))
        return yaml.safe_load(service.read_text())

    def canary(self):
        return steps.canary(self.plan)

    def analyse(self):
        return steps.analyse(self.plan, str(self.folder / "decision.md"))

    def finish(self):
        outcome, self.numbers = steps.finish(self.plan, str(self.folder / "record.json"), str(self.folder / "page.md"))
        return outcome

    def run(self, **settings):
        self.render(**settings)
        for _ in steps.remaining_steps(self.plan):
            self.canary()
            self.analyse()
        return self.finish()

    def calls(self):
        return [self.render, self.canary, self.analyse, self.canary, self.analyse, self.finish]


def test_a_release_begins_under_the_environments_policy(monkeypatch):
    told = {}
    monkeypatch.setattr(step_context, "connect", lambda *_: None)
    monkeypatch.setattr(step_context, "ReleaseController", lambda **settings: told.update(settings))
    plan = Plan(usecase="loopline.usecases.flights", target="cluster", log="log", owner="me")
    policy = EnvironmentPolicy.parse("release: {steps: [1, 99]}")
    step_context.StepContext(plan, policy).controller  # noqa: B018 - made when asked for
    assert told["spec"].release.steps == (1, 99)
    assert told["overrides"] == ("steps",)


def test_the_record_names_what_the_environment_set():
    controller = World().controller("me", overrides=("steps",))
    assert controller.begin(CANARY).overrides == ("steps",)
    assert World().controller("me").begin(CANARY).overrides == ()


def decided(world):
    return [event.decision.step.number for event in world.kept.events if event.kind == "decided"]


def walk(world):
    return [done for n, done in enumerate(world.done) if not n or done != world.done[n - 1]]


def test_a_good_version_is_promoted_step_by_step(play):
    dag = play(Played())
    assert dag.render() == {"kind": "InferenceService", "due": ["shift", 20, CANARY]}
    assert dag.world.done == [], "to render is to change nothing"
    assert dag.world.supplied == (CANARY,)
    assert steps.remaining_steps(dag.plan) == ["20", "50"]
    said = [call() for call in dag.calls()[1:]]
    assert said == ["20% of the traffic", "advance", "50% of the traffic", "advance", "promoted"]
    assert dag.world.done == WALK
    record = Record.model_validate_json((dag.folder / "record.json").read_bytes())
    assert record == dag.world.kept
    assert (dag.folder / "page.md").read_text().startswith("# flights: version 7 to 8\n\nPromoted.")
    assert (dag.folder / "decision.md").read_text().startswith("## Step 2, 50%: advance")
    assert dag.numbers["steps"] == 2
    assert dag.numbers["canary_requests"] > 400
    assert "errors_worse_by" in dag.numbers


def test_what_is_worse_loses_its_traffic_in_the_step_that_shows_it(play):
    dag = play(Played(canary=WORSE))
    dag.render()
    dag.canary()
    assert dag.analyse() == "roll back"
    assert dag.world.split == TrafficSplit(STABLE), "not only when the other steps have had their turn"
    assert (dag.canary(), dag.analyse()) == (steps.NOTHING, steps.NOTHING)
    assert dag.finish() == "rolled back"
    assert dag.world.done == [("shift", 20), ("roll back", 0)]


def test_a_canary_that_does_not_come_up_is_taken_away_in_its_step(play, monkeypatch):
    dag, shift = play(Played()), Played.apply

    def fail(world, action, record):
        if action.kind == "shift":
            raise CanaryFailedError("version 8 is not ready")
        shift(world, action, record)

    monkeypatch.setattr(Played, "apply", fail)
    dag.render()
    assert dag.canary() == "rolled back"
    assert dag.finish() == "rolled back"
    assert dag.world.kept.reason == "version 8 is not ready"


@pytest.mark.parametrize("canary", [GOOD, WORSE], ids=["good", "worse"])
@pytest.mark.parametrize("done", range(6))
def test_killed_between_any_two_steps_the_next_run_goes_on(play, canary, done):
    dag = play(Played(canary=canary))
    for call in dag.calls()[:done]:
        call()
    assert dag.run() == ("promoted" if canary is GOOD else "rolled back")
    assert walk(dag.world) == (WALK if canary is GOOD else [("shift", 20), ("roll back", 0)])
    assert decided(dag.world) == sorted(set(decided(dag.world)))


@pytest.mark.parametrize("at", [half / 2 for half in range(1, 19)])
def test_killed_within_any_step_the_next_run_goes_on(play, at):
    dag = play(Played(dies_at=at))
    with pytest.raises(Killed):
        dag.run()
    assert dag.run() == "promoted"
    assert walk(dag.world) == WALK
    assert decided(dag.world) == [1, 2]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.sampled_from(["canary", "analyse"]), max_size=8), worse=st.booleans())
def test_in_whatever_order_iterations_have_their_turn(play, calls, worse):
    dag = play(Played(canary=WORSE if worse else GOOD))
    dag.render()
    for call in calls:
        getattr(dag, call)()
    assert dag.finish() in {"under way", "promoted", "rolled back"}
    assert walk(dag.world) == (WALK if not worse else [("shift", 20), ("roll back", 0)])[: len(walk(dag.world))]
    assert dag.run() == ("rolled back" if worse else "promoted")
    assert decided(dag.world) == sorted(set(decided(dag.world)))


@pytest.mark.parametrize("call", ["canary", "analyse"])
@pytest.mark.parametrize("moment", ["before it acts", "before it stores"])
def test_of_two_iterations_at_once_one_is_heard(play, call, moment):
    """While one is about to change something, the other does the same from beginning to end."""
    dag = play(Played())
    dag.render()
    if call == "analyse":
        dag.canary()
    world, other, outer = dag.world, getattr(dag, call), {"waiting": True}
    method = "apply" if (moment, call) == ("before it acts", "canary") else "store"
    original = getattr(world, method)

    def overtaken(*given):
        if outer.pop("waiting", False):
            other()
        original(*given)

    setattr(world, method, overtaken)
    getattr(dag, call)()
    delattr(world, method)
    assert decided(world) == ([1] if call == "analyse" else [])
    assert next_action(world.kept).kind == ("shift" if call == "analyse" else "analyse")
    assert dag.run() == "promoted"
    assert walk(world) == WALK
    assert decided(world) == [1, 2]


def test_what_is_not_decided_in_time_is_under_way_and_the_next_run_goes_on(play):
    dag = play(Played())
    assert dag.run(wait="0") == "under way"
    assert dag.world.split == TrafficSplit(STABLE, CANARY, 20)
    assert "Under way: step 1 of 2" in (dag.folder / "page.md").read_text()
    began = dag.world.time
    assert dag.run(wait="30") == "under way"
    assert dag.world.time - began <= timedelta(seconds=45), "all steps of a run share its time"
    assert dag.run() == "promoted"
    assert walk(dag.world) == WALK


def test_the_steps_that_are_left_are_those_of_the_release_under_way(play):
    dag = play(Played())
    for call in dag.calls()[:3]:
        call()
    assert steps.remaining_steps(dag.plan) == ["50"]
    dag.canary()
    dag.analyse()
    assert steps.remaining_steps(dag.plan) == ["50"], "never none"


def test_a_champion_that_serves_already_is_left_alone(play):
    dag = play(Played())
    assert dag.run(champion=STABLE) == "serves already"
    assert dag.world.kept is None
    assert json.loads((dag.folder / "record.json").read_text()) is None
    assert dag.world.done == []


def test_a_release_that_was_made_is_not_made_again(play):
    dag = play(Played())
    dag.run()
    kept = dag.world.kept
    assert dag.run() == "promoted"
    assert dag.world.kept == kept


def test_a_title_that_was_not_given_back_yet_begins_no_release(play):
    """The run was killed between its last two steps; another rollback or promotion since then is another matter."""
    dag = play(Played(canary=WORSE))
    assert dag.run() == "rolled back"
    kept = dag.world.kept
    assert dag.run() == "rolled back"
    assert dag.world.kept == kept
    dag.world.behaviour[CANARY], dag.world.log = GOOD, dag.world.log[:1]
    assert dag.run(since=dag.world.time) == "promoted"


def test_a_new_champion_waits_for_the_release_under_way(play):
    dag = play(Played())
    dag.run(wait="0")
    with pytest.raises(LooplineError, match="is being released to version 8 by run-1"):
        dag.render(asked="9", champion="9")
    assert dag.run(asked="champion", champion="9") == "promoted"
    assert dag.plan.version == CANARY
    assert dag.world.supplied == (CANARY,)


def test_another_owner_waits_for_the_lease(play):
    dag = play(Played())
    dag.run(wait="0")
    with pytest.raises(LooplineError, match="belongs to run-1 until"):
        dag.run(owner="run-2")


def test_what_would_be_refused_begins_nothing(play):
    dag = play(Played())
    dag.world.failing = "refused"
    with pytest.raises(LooplineError, match="KServe would refuse it"):
        dag.render()
    assert dag.world.kept is None
    assert dag.world.supplied == ()


def test_a_record_of_another_release_is_not_taken_for_ours(play):
    dag = play(Played())
    dag.run()
    dag.plan = dag.plan.model_copy(update={"version": "6"})
    with pytest.raises(LooplineError, match="is being released to version 8 by now, and no longer to 6"):
        dag.finish()


@pytest.mark.parametrize("wait", ["soon", "-1", "1.5"])
def test_a_time_that_is_none(wait):
    with pytest.raises(LooplineError, match="is no time to wait for evidence"):
        plan.seconds(wait)


def test_a_target_that_is_none():
    with pytest.raises(LooplineError, match="there is no target 'moon'; there are local, git, cluster"):
        plan.known_target("moon")


@pytest.mark.parametrize("target", ["local", "git"])
def test_a_target_without_a_place(target):
    with pytest.raises(LooplineError, match=f"target {target} needs a target_uri"):
        connect(Plan(usecase="loopline.usecases.flights", target=target, log="log", owner="run-1"), "flights")


def test_an_endpoint_that_does_not_run(tmp_path):
    stopped = Plan(
        usecase="loopline.usecases.flights", target="local", target_uri=str(tmp_path), log="log", owner="run-1"
    )
    with pytest.raises(LooplineError, match="no endpoint of flights runs here; start it with `loopline serve`"):
        connect(stopped, "flights")

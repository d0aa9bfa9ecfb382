"""The acts, played at an endpoint in memory: promoted, caught, cut short, killed anywhere."""

from types import SimpleNamespace

import pytest
from packaged import model

from loopline.components.contract import usecase
from loopline.components.deployment.inference_service import Standing
from loopline.components.errors import LooplineError
from loopline.components.registry import rollback
from loopline.demo import demo as play
from loopline.demo.demo import CUT, OWNER, Play, was_stopped
from loopline.demo.step import Version
from loopline.local.workspace import Workspace
from tests.canary_traffic import BAD, CANARY, STABLE
from tests.unit.deployment.released_endpoint import Killed, World

CASE = usecase.load("loopline.usecases.flights")
TASK = CASE.spec.task
SPOILED_STABLE, SPOILED_CANARY = "907", "908"
MISCALIBRATED = BAD["miscalibrated by 0.1"]
# What a process does beyond itself: the record begun; for each step shifted, stored, decided; ended, stored.
EFFECTS = 9 + 6


class Here(World):
    """The endpoint of this machine, where a roll back removes the canary and nothing else."""

    def carry_out(self, action, record):
        super().carry_out(action, record.model_copy(update={"stable": self.now_standing.stable}))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {number: model(folder / str(number), TASK, "flights", steepness=number) for number in (7, 8)}


@pytest.fixture
def champion(models):
    return Version(int(STABLE), models[7])


@pytest.fixture
def challenger(models):
    return Version(int(CANARY), models[8])


@pytest.fixture
def given_back(monkeypatch):
    found = []
    monkeypatch.setattr(rollback, "give_back", lambda name, registry, *versions: found.append(versions))
    return found


@pytest.fixture
def playing(tmp_path, given_back):
    """Makes what a loop plays with: each has an endpoint that it has just started."""

    def make(world, **traffic):
        world.behaviour |= {SPOILED_STABLE: MISCALIBRATED, SPOILED_CANARY: MISCALIBRATED}
        world.now_standing = Standing(STABLE)
        place = SimpleNamespace(model=lambda number: tmp_path / f"v{number}")
        asked = SimpleNamespace(**{"goes_on": True, "answered": 0, "failed": 0, **traffic})
        releaser = world.releaser(OWNER)
        return Play(Workspace(tmp_path), CASE, lambda _: None, SimpleNamespace(place=place), releaser, asked)

    return make


def test_the_good_one_is_promoted_and_the_bad_one_caught(playing, champion, challenger, given_back):
    first, second = playing(Here()).acts(champion, challenger)
    assert (first.record.stable, first.record.canary, first.record.outcome) == (STABLE, CANARY, "promoted")
    assert (second.record.stable, second.record.canary, second.record.outcome) == (
        CANARY,
        SPOILED_CANARY,
        "rolled back",
    )
    assert first.canary == "version 8, trained on newer data"
    assert second.canary == "version 8, deliberately made worse: every probability is its square root"
    assert not was_stopped(first)
    assert not was_stopped(second)
    assert given_back == []


def test_without_a_challenger_the_champion_is_made_worse(playing, champion):
    (act,) = playing(Here()).acts(champion, None)
    assert (act.record.stable, act.record.canary, act.record.outcome) == (STABLE, SPOILED_STABLE, "rolled back")


def test_a_challenger_that_is_caught_gives_the_title_back(playing, champion, challenger, given_back):
    first, second = playing(Here(canary=MISCALIBRATED)).acts(champion, challenger)
    assert first.record.outcome == "rolled back"
    assert given_back == [(8, 7)]
    assert (second.record.stable, second.record.canary) == (STABLE, SPOILED_STABLE), "of the one that serves"


def test_no_more_traffic_decides_nothing(playing, champion, challenger, given_back):
    (act,) = playing(Here(), goes_on=False).acts(champion, challenger)
    assert act.record.outcome == "rolled back"
    assert act.record.reason == CUT
    assert was_stopped(act)
    assert given_back == [], "nothing was seen that speaks against it"


def test_no_more_time(playing, champion, challenger, monkeypatch):
    monkeypatch.setattr(play, "ACT_SECONDS", 0)
    first, second = playing(Here()).acts(champion, challenger)
    assert {first.record.reason, second.record.reason} == {CUT}


def test_too_few_answers_to_tell_what_is_usual(playing, champion, monkeypatch):
    monkeypatch.setattr(play, "USUAL_REQUESTS", 5_000)
    with pytest.raises(LooplineError, match="answered fewer than 5000 requests in all"):
        playing(Here(), goes_on=False).acts(champion, None)


def test_each_act_has_the_requests_that_came_in_it(playing, champion, challenger):
    world = Here()
    played = playing(world)
    sleep = world.sleep

    def pass_time(seconds):
        sleep(seconds)
        played.traffic.answered += 60
        played.traffic.failed += 1

    object.__setattr__(played.releaser, "sleep", pass_time)
    first, second = played.acts(champion, challenger)
    assert first.answered + second.answered == played.traffic.answered
    assert first.failed > second.failed > 0


@pytest.mark.parametrize("at", [half / 2 for half in range(1, 2 * EFFECTS)])
def test_killed_anywhere_the_next_loop_plays_both_to_their_end(playing, champion, challenger, at):
    """Before and after each write and each change of weights; the endpoint has ended with the loop."""
    world = Here(dies_at=at)
    with pytest.raises(Killed):
        playing(world).acts(champion, challenger)
    killed = world.kept
    first, second = playing(world).acts(champion, challenger)
    assert (first.record.outcome, second.record.outcome) == ("promoted", "rolled back")
    assert not was_stopped(first)
    assert not was_stopped(second)
    assert first.record.generation > (killed.generation if killed else 0)
    assert world.now_standing == Standing(CANARY)


def test_a_release_of_somebody_else_is_left_alone(playing, champion, challenger):
    world = Here()
    world.releaser("anna@desk").begin(CANARY)
    with pytest.raises(LooplineError, match="belongs to anna@desk until"):
        playing(world).acts(champion, challenger)
    assert world.kept.outcome is None

"""``loopline release``: what it refuses, and what it says at the end."""

import contextlib

import pytest
from rich.console import Console

from components.contract.errors import LooplineError
from components.registry import fetch, rollback
from pipelines.command import app, releasing
from tests.canary_traffic import BAD, CANARY, GOOD
from tests.unit.deployment.released_endpoint import SPEC, World


class HeldWorld(World):
    """The world as a target that can be held."""

    @contextlib.contextmanager
    def held(self):
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path))
    return releasing.Home.find()


@pytest.fixture
def run(home, monkeypatch):
    """Release at a world, with that champion, and give what was printed and given back."""
    given_back = []
    monkeypatch.setattr(rollback, "give_back", lambda *version: given_back.append(version[2:]) or True)

    def release(world, version=CANARY, champion=int(CANARY)):
        monkeypatch.setattr(fetch, "resolve", lambda *_: champion)
        monkeypatch.setattr(releasing, "RollOut", lambda *_: world.releaser())
        case = type("Case", (), {"spec": SPEC})
        log = type("Log", (), {"since": world.seen})
        console = Console(record=True, width=200)
        try:
            releasing._release(world, case, "registry", version, log, 1.0, home, console)
        finally:
            release.said, release.given_back = console.export_text(), given_back

    return release


def test_a_promotion_leaves_a_page(run, home):
    run(HeldWorld(canary=GOOD), "champion")
    assert "flights version 8: promoted" in run.said
    assert (home.root / "releases" / "flights" / "8.md").read_text().startswith("# flights: version 7 to 8")
    assert run.given_back == []


def test_a_rollback_takes_the_title_back_and_fails(run):
    with pytest.raises(LooplineError, match="version 8 of flights was rolled back: the canary is worse than allowed"):
        run(HeldWorld(canary=BAD["miscalibrated by 0.1"]))
    assert run.given_back == [(8, 7)]
    assert "version 7 is champion again" in run.said


@pytest.mark.parametrize(("champion", "said"), [(7, "version 7 is"), (None, "there is none yet")])
def test_only_the_champion_gets_traffic(run, champion, said):
    world = HeldWorld()
    with pytest.raises(
        LooplineError, match=f"version 8 of flights is not the champion .{said}., so it gets no traffic"
    ):
        run(world, CANARY, champion)
    assert world.done == []


def test_no_endpoint(home):
    with pytest.raises(LooplineError, match="no endpoint of flights runs here; start it with `loopline serve`"):
        releasing.release_locally("usecases.flights", "2", Console())


def test_unknown_target(home):
    with pytest.raises(LooplineError, match="there is no target 'moon'; there are local, git, cluster"):
        app.release("2", target="moon")


@pytest.mark.parametrize("target", ["git", "cluster"])
def test_no_cluster_is_named(home, monkeypatch, target):
    monkeypatch.delenv("LOOPLINE_CLUSTER", raising=False)
    with pytest.raises(LooplineError, match="no cluster is named"):
        app.release("2", target=target)

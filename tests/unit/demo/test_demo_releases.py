"""The releases at the end of a loop: what is kept, and what is said where nothing can be released."""

import dataclasses

import pytest
from packaged import model

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.demo import endpoint as demo_endpoint
from loopline.demo import releases, saved
from loopline.demo.releases import Releases
from loopline.demo.step import DemoStep, PackagedVersion
from loopline.local.endpoint import background
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace
from tests.canary_traffic import CANARY
from tests.unit.deployment.simulated_world import World

CASE = usecase.load("tests.usecases.temperature")


@pytest.fixture
def announced():
    return []


@pytest.fixture
def demo_releases(tmp_path, announced):
    return Releases(Workspace(tmp_path / "workspace"), CASE, announced.append)


@pytest.fixture
def champion(tmp_path):
    return PackagedVersion(1, model(tmp_path / "champion", "regression"))


@pytest.fixture
def saved_step():
    controller = World().controller()
    controller.begin(CANARY)
    return DemoStep(canary="kept", record=controller.reconcile(), answered=900, failed=0)


@pytest.fixture
def file(demo_releases, champion):
    return saved.path(demo_releases.workspace, CASE.spec, champion.model, None)


def test_a_release_that_was_made_is_not_made_again(demo_releases, champion, announced, saved_step, file):
    saved.write(file, [saved_step])
    assert demo_releases.run(champion, None) == [saved_step]
    assert announced == ["release: kept: promoted by an earlier loop"]


def test_unless_nothing_is_to_be_reused(demo_releases, champion, saved_step, file):
    saved.write(file, [saved_step])
    with pytest.raises(LooplineError, match="it has 792 events"):
        dataclasses.replace(demo_releases, reuse=False).run(champion, None)


@pytest.mark.parametrize("text", ["", "[", '[{"canary": "of another time"}]'])
def test_what_cannot_be_read_was_not_kept(file, text):
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert saved.read(file) is None


def test_another_model_or_policy_is_another_release(demo_releases, champion, tmp_path):
    other = model(tmp_path / "other", "binary_classification")
    bolder = CASE.spec.model_copy(update={"release": CASE.spec.release.model_copy(update={"steps": (50,)})})
    places = {
        saved.path(demo_releases.workspace, CASE.spec, champion.model, None),
        saved.path(demo_releases.workspace, CASE.spec, champion.model, other),
        saved.path(demo_releases.workspace, CASE.spec, other, None),
        saved.path(demo_releases.workspace, bolder, champion.model, None),
    }
    assert len(places) == 4


def test_too_few_events(demo_releases, champion, announced):
    with pytest.raises(LooplineError, match="it has 792 events to ask about, and a release takes 2,000"):
        demo_releases.run(champion, None)
    assert announced == []
    assert not (demo_releases.workspace.root / "serving").exists(), "nothing was started"


def test_an_endpoint_that_somebody_serves_is_left_alone(demo_releases, champion, monkeypatch):
    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    state_dir = Endpoint(demo_releases.workspace, CASE).state_dir
    with state_dir.locked(), pytest.raises(LooplineError, match="is being served, and the loop needs one of its own"):
        demo_releases.run(champion, None)


def test_where_nothing_can_be_served_the_reason_is_told(demo_releases, champion, monkeypatch):
    def fails(*_):
        raise LooplineError("Envoy is not installed on this machine")

    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    monkeypatch.setattr(background, "start", fails)
    half = Endpoint(demo_releases.workspace, CASE).state_dir.model(1).with_name("v1.partial-12345678")
    half.mkdir(parents=True)
    with pytest.raises(LooplineError, match="Envoy is not installed"):
        demo_releases.run(champion, None)
    assert not (Endpoint(demo_releases.workspace, CASE).state_dir.path / demo_endpoint.MARK).exists()
    assert not half.exists(), "what a killed loop left half-made is gone"

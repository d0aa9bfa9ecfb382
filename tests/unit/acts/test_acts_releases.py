"""The releases at the end of a loop: what is kept, and what is said where nothing can be released."""

import dataclasses

import pytest
from packaged import model

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.demo import endpoint as stage
from loopline.demo import releases, saved
from loopline.demo.releases import Releases
from loopline.demo.step import Act, Version
from loopline.local.endpoint import background
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace
from tests.canary_traffic import CANARY
from tests.unit.deployment.released_endpoint import World

CASE = usecase.load("tests.usecases.temperature")


@pytest.fixture
def told():
    return []


@pytest.fixture
def acts(tmp_path, told):
    return Releases(Workspace(tmp_path / "workspace"), CASE, told.append)


@pytest.fixture
def champion(tmp_path):
    return Version(1, model(tmp_path / "champion", "regression"))


@pytest.fixture
def played():
    releaser = World().releaser()
    releaser.begin(CANARY)
    return Act(canary="kept", record=releaser.carry_on(), answered=900, failed=0)


@pytest.fixture
def file(acts, champion):
    return saved.place(acts.workspace, CASE.spec, champion.model, None)


def test_a_release_that_was_made_is_not_made_again(acts, champion, told, played, file):
    saved.write(file, [played])
    assert acts.hold(champion, None) == [played]
    assert told == ["release: kept: promoted by an earlier loop"]


def test_unless_nothing_is_to_be_reused(acts, champion, played, file):
    saved.write(file, [played])
    with pytest.raises(LooplineError, match="it has 792 events"):
        dataclasses.replace(acts, reuse=False).hold(champion, None)


@pytest.mark.parametrize("text", ["", "[", '[{"canary": "of another time"}]'])
def test_what_cannot_be_read_was_not_kept(file, text):
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert saved.read(file) is None


def test_another_model_or_policy_is_another_release(acts, champion, tmp_path):
    other = model(tmp_path / "other", "binary_classification")
    bolder = CASE.spec.model_copy(update={"release": CASE.spec.release.model_copy(update={"steps": (50,)})})
    places = {
        saved.place(acts.workspace, CASE.spec, champion.model, None),
        saved.place(acts.workspace, CASE.spec, champion.model, other),
        saved.place(acts.workspace, CASE.spec, other, None),
        saved.place(acts.workspace, bolder, champion.model, None),
    }
    assert len(places) == 4


def test_too_few_events(acts, champion, told):
    with pytest.raises(LooplineError, match="it has 792 events to ask about, and a release takes 2,000"):
        acts.hold(champion, None)
    assert told == []
    assert not (acts.workspace.root / "serving").exists(), "nothing was started"


def test_an_endpoint_that_somebody_serves_is_left_alone(acts, champion, monkeypatch):
    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    place = Endpoint(acts.workspace, CASE).place
    with place.held(), pytest.raises(LooplineError, match="is being served, and the loop needs one of its own"):
        acts.hold(champion, None)


def test_where_nothing_can_be_served_the_reason_is_told(acts, champion, monkeypatch):
    def fails(*_):
        raise LooplineError("Envoy is not installed on this machine")

    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    monkeypatch.setattr(background, "start", fails)
    half = Endpoint(acts.workspace, CASE).place.model(1).with_name("v1.partial-12345678")
    half.mkdir(parents=True)
    with pytest.raises(LooplineError, match="Envoy is not installed"):
        acts.hold(champion, None)
    assert not (Endpoint(acts.workspace, CASE).place.root / stage.MARK).exists()
    assert not half.exists(), "what a killed loop left half-made is gone"

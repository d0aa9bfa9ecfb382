"""The last acts of the loop: what is kept, when nothing can be served, and the model that is deliberately bad."""

import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from components.contract import usecase
from components.contract.errors import LooplineError
from components.contract.examples import Feature
from components.contract.model import seal
from components.contract.scorer import Scorer
from components.contract.signature import Signature
from pipelines import releases
from pipelines.act import Act
from pipelines.laptop.home import Home
from pipelines.laptop.spoiled import spoil
from pipelines.releases import Releases
from tests.canary_traffic import CANARY
from tests.unit.deployment.released_endpoint import World

CASE = usecase.load("tests.usecases.temperature")


def model(folder, task, name="temperature"):
    """A packaged model of one number: its sigmoid, or the number itself."""
    signature = Signature.for_task(task, (Feature("x", "number"),))
    operation = "Sigmoid" if task == "binary_classification" else "Identity"
    tensors = [
        helper.make_tensor_value_info(label, TensorProto.FLOAT, [None, 1]) for label in ("numbers", signature.output)
    ]
    node = helper.make_node(operation, ["numbers"], [signature.output])
    graph = helper.make_model(
        helper.make_graph([node], "small", tensors[:1], tensors[1:]), opset_imports=[helper.make_opsetid("", 18)]
    )
    graph.ir_version = 10
    file = folder / "repository" / name / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(graph, file)
    return seal(folder, name, signature, {"task": task})


def scores(packaged, numbers):
    return Scorer(packaged).score(pa.table({"x": pa.array(numbers, pa.float32())}))


def test_spoiled_probabilities_are_square_roots(tmp_path):
    good = model(tmp_path / "good", "binary_classification")
    bad = spoil(good, "binary_classification", tmp_path / "bad")
    assert np.allclose(scores(bad, [-2, 0, 3]), np.sqrt(scores(good, [-2, 0, 3])))
    assert bad.digest != good.digest
    assert bad.facts["deliberately_bad"] == "every probability is its square root"


def test_spoiled_predictions_are_a_quarter_too_high(tmp_path):
    good = model(tmp_path / "good", "regression")
    assert np.allclose(scores(spoil(good, "regression", tmp_path / "bad"), [4, -8]), [5, -10])


@pytest.fixture
def told():
    return []


@pytest.fixture
def acts(tmp_path, told):
    return Releases(Home(tmp_path / "home"), CASE, told.append)


@pytest.fixture
def champion(tmp_path):
    return model(tmp_path / "champion", "regression")


def test_a_release_that_was_made_is_not_made_again(acts, champion, told):
    releaser = World().releaser()
    releaser.begin(CANARY)
    kept = Act(canary="kept", record=releaser.carry_on())
    file = acts._kept(champion, None)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([kept.model_dump(mode="json")]))
    assert acts.hold(champion, None, (1, None)) == [kept]
    assert told == ["release: kept: promoted by an earlier loop"]


def test_another_model_or_policy_is_another_release(acts, champion, tmp_path):
    other = model(tmp_path / "other", "binary_classification")
    bolder = CASE.spec.release.model_copy(update={"steps": (50,)})
    case = usecase.UseCase(CASE.package, CASE.folder, CASE.spec.model_copy(update={"release": bolder}))
    places = {
        acts._kept(champion, None),
        acts._kept(champion, other),
        acts._kept(other, None),
        Releases(acts.home, case, print)._kept(champion, None),
    }
    assert len(places) == 4


def test_too_few_events(acts, champion, told):
    with pytest.raises(LooplineError, match="it has 792 events to ask about, and a release takes 2,000"):
        acts.hold(champion, None, (1, None))
    assert told == []
    assert not Path(acts.home.root / "serving").exists(), "nothing was started"


def test_an_endpoint_that_somebody_serves_is_left_alone(acts, champion, monkeypatch):
    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    place = releases.Endpoint(acts.home, CASE).place
    with place.held(), pytest.raises(LooplineError, match="is being served, and the loop needs one of its own"):
        acts.hold(champion, None, (1, None))


def test_where_nothing_can_be_served_the_reason_is_told(acts, champion, monkeypatch):
    from pipelines.command import serving

    def fails(*_):
        raise LooplineError("Envoy is not installed on this machine")

    monkeypatch.setattr(releases, "FEWEST_EVENTS", 1)
    monkeypatch.setattr(serving, "start", fails)
    with pytest.raises(LooplineError, match="Envoy is not installed"):
        acts.hold(champion, None, (1, None))
    assert not (releases.Endpoint(acts.home, CASE).place.root / releases.MARK).exists()

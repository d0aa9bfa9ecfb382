"""A version's model is put where its pods fetch it from, once, and never over another one."""

from types import SimpleNamespace

import pytest

from loopline.components.deployment.kserve import model_store, render
from loopline.components.errors import LooplineError
from tests.unit.deployment.test_deployment_render import service


@pytest.fixture
def model(tmp_path):
    graph = tmp_path / "package" / "repository" / "flights" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    (graph.parent.parent / "config.pbtxt").write_text("max_batch_size: 0\n")
    return SimpleNamespace(path=tmp_path / "package", digest="sha256:" + "0" * 64)


def test_put_once_completed_and_then_left_alone(model, tmp_path):
    repository = tmp_path / "models" / "flights" / "8" / "repository"
    model_store.upload_model(model, repository.as_uri())
    graph = repository / "flights" / "1" / "model.onnx"
    assert graph.read_bytes() == b"graph"
    written = graph.stat().st_mtime_ns
    model_store.upload_model(model, repository.as_uri())
    assert graph.stat().st_mtime_ns == written
    graph.unlink()  # somebody was killed
    model_store.upload_model(model, repository.as_uri())
    assert graph.read_bytes() == b"graph"


def test_another_model_is_not_overwritten(model, tmp_path):
    repository = tmp_path / "models" / "flights" / "8" / "repository"
    model_store.upload_model(model, repository.as_uri())
    graph = repository / "flights" / "1" / "model.onnx"
    graph.write_bytes(b"other")
    with pytest.raises(LooplineError, match="holds another model than the one that is registered"):
        model_store.upload_model(model, repository.as_uri())
    assert graph.read_bytes() == b"other"


@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_the_place_follows_from_the_stables(mode):
    made = service(mode, "7")
    stable = made["spec"]["predictor"]["model"]["storageUri"]
    assert render.storage_uri_of(made, "8") == stable.replace("/7/", "/8/")
    assert render.storage_uri_of(made, "7") == stable

"""The same code against an MLflow tracking server, over HTTP, with the files in the server's own store."""

import json
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from loopline.components.errors import LooplineError
from loopline.components.registry.fetch import fetch_model, resolve
from loopline.components.registry.models import models
from loopline.components.registry.promotion_log import ChampionState
from loopline.components.registry.rollback import rollback

USECASE, NAME = "loopline.usecases.flights", "flights"


@pytest.fixture(autouse=True)
def no_feast(monkeypatch):
    """Where Feast is installed, MLflow's first request imports it (10 s) to ask for headers; the image has no Feast."""
    monkeypatch.setattr("mlflow.utils.plugins.get_entry_points", lambda group: [])


@pytest.fixture
def served(home, fork, tmp_path) -> Iterator:
    reader, writer = os.pipe()

    def serve() -> None:
        os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = home.registry
        os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
        os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = str(tmp_path / "store")
        os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
        from mlflow.server import app
        from werkzeug.serving import make_server

        logging.disable()
        server = make_server("127.0.0.1", 0, app, threaded=True)
        os.write(writer, str(server.server_port).encode())
        server.serve_forever()

    child = fork(serve)
    os.close(writer)
    port = os.read(reader, 10).decode()
    assert port, "the server did not start"
    yield type(home)(home.folder, server=f"http://127.0.0.1:{port}")
    os.close(reader)
    child.kill()


def test_lifecycle_over_http(served, tmp_path):
    for seed in (1, 2, 3):
        assert served.register(seed, "challenger") == seed
    assert served.promote(1) == "promoted"
    assert list((tmp_path / "store").rglob("model.onnx"))
    fetched = fetch_model(USECASE, served.registry, "champion", tmp_path / "fetched")
    assert fetched.digest == served.model(1).digest

    for seed in (2, 3):
        served.verdict(seed)
    racers = [threading.Thread(target=served.promote, args=(seed, 1)) for seed in (2, 3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    outcomes = [json.loads(served.receipt(seed).read_text())["outcome"] for seed in (2, 3)]
    assert sorted(outcomes) == ["kept", "promoted"]
    winner = 2 + outcomes.index("promoted")
    assert rollback(NAME, served.registry) == ChampionState(1, winner)
    assert models(NAME, served.registry)[-1].aliases == ("champion",)
    with pytest.raises(LooplineError, match="no version or alias 'nope'; it has 1 \\(champion\\)"):
        fetch_model(USECASE, served.registry, "nope", tmp_path / "nope")


def test_server_that_does_not_answer_is_named_without_its_password(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(LooplineError) as caught:
        resolve(NAME, "http://somebody:secret@127.0.0.1:9", "champion")
    assert str(caught.value) == (
        "the model registry http://***@127.0.0.1:9 cannot be reached; check its address, and that its server runs"
    )

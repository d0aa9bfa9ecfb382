"""Use cases, models and inputs of batch prediction."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import helper
from tram_examples import BERLIN, FEATURES, STOPS, TASKS, USECASE, WINDOW, Inputs, Predicted, moments, seal

from loopline.components.contract import dataset, examples, model
from loopline.components.contract.window import Window, iso


@pytest.fixture(scope="session")
def usecases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Packages of a classification and a regression use case."""
    root = tmp_path_factory.mktemp("usecases")
    for name, task in TASKS.items():
        folder = root / f"inference_{name}"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "usecase.yaml").write_text(USECASE.format(name=name, task=task))
    sys.path.insert(0, str(root))
    yield {"classification": "inference_trams", "regression": "inference_tram_delays", "root": str(root)}
    sys.path.remove(str(root))


@pytest.fixture
def usecase(usecases: dict[str, str]) -> str:
    return usecases["classification"]


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> model.Model:
    """A model that gives its feature ``signal`` as the probability."""
    return seal(
        tmp_path_factory.mktemp("echo"), [helper.make_node("Identity", ["signal"], ["probability"])], {}, "probability"
    )


@pytest.fixture(scope="session")
def echo_regression(tmp_path_factory: pytest.TempPathFactory) -> model.Model:
    """A model that gives its feature ``signal`` as the prediction."""
    return seal(
        tmp_path_factory.mktemp("echo"), [helper.make_node("Identity", ["signal"], ["prediction"])], {}, "prediction"
    )


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> model.Model:
    """A network with an embedding and a hidden layer; missing numbers are 0, stops never seen share an embedding."""
    random = np.random.default_rng(3)
    weights = {
        "zero": np.zeros(1, np.float32),
        "embedding": random.normal(size=(len(STOPS) + 1, 4)).astype(np.float32),
        "width": np.array([-1, 4], np.int64),
        "w1": random.normal(size=(5, 64)).astype(np.float32),
        "w2": random.normal(size=(64, 1)).astype(np.float32),
    }
    encoder = {"keys_strings": STOPS, "values_int64s": [1, 2, 3], "default_int64": 0, "domain": "ai.onnx.ml"}
    nodes = [
        helper.make_node("IsNaN", ["signal"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "signal"], ["filled"]),
        helper.make_node("LabelEncoder", ["stop"], ["id"], **encoder),
        helper.make_node("Gather", ["embedding", "id"], ["looked_up"]),
        helper.make_node("Reshape", ["looked_up", "width"], ["embedded"]),
        helper.make_node("Concat", ["filled", "embedded"], ["input"], axis=1),
        helper.make_node("MatMul", ["input", "w1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "w2"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    return seal(tmp_path_factory.mktemp("network"), nodes, weights, "probability")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write examples and quarantine; gives the paths that `predict` takes."""

    def write(
        rows: pa.Table,
        refused: pa.Table | None = None,
        window: tuple[str, str] = WINDOW,
    ) -> dict[str, Any]:
        if refused is None:
            refused = rows.slice(0, 0).append_column("reason", pa.array([], pa.string()))
        facts = {"window": list(window), **examples.facts(FEATURES, {})}
        dataset.write(tmp_path / "examples", {"examples": rows}, facts)
        dataset.write(tmp_path / "quarantine", {"trips": refused}, {})
        return {
            "examples_path": tmp_path / "examples",
            "quarantine_path": tmp_path / "quarantine",
            "predictions_path": tmp_path / "predictions",
        }

    return write


@pytest.fixture
def predicted(tmp_path: Path) -> Predicted:
    """Write predictions, one each hour of some local days in Berlin; gives their path and window."""

    def write(start: str, end: str, version: str = "1", rows: pa.Table | None = None, **facts: Any) -> dict[str, Any]:
        window = Window.parse(start, end, BERLIN)
        hours = int(window.days * 24)
        if rows is None:
            at = pa.array(moments(window.start, hours, timedelta(hours=1)), examples.TIMESTAMP)
            rows = pa.table({"line": ["M1"] * hours, "trip": range(hours), "departs_at": at, "feature_time": at})
            rows = rows.append_column("probability", pa.array([0.5] * hours, pa.float32()))
            rows = rows.append_column("model_version", pa.array([version] * hours, pa.string()))
        path = tmp_path / f"predictions-{start}-{end}-{version}"
        counts = {"rows_in": len(rows) + 1, "rows_out": len(rows), "rows_quarantined": 1, **facts}
        known = {"window": [iso(window.start), iso(window.end)], "model": "sha256:0", "model_version": version}
        dataset.write(path, {"predictions": rows, "quarantine": pa.table({"reason": ["odd"]})}, {**known, **counts})
        return {"start": start, "end": end, "predictions_path": path, "receipt_path": tmp_path / "receipt.json"}

    return write

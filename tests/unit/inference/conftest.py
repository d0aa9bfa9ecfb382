"""Two small use cases and models to predict with: one whose score is its input, one that is a real network."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.contract import dataset, examples, model
from components.contract.examples import Feature
from components.contract.signature import Signature

USECASE = """
name: {name}
description: Will the tram be late?
task: {task}
timezone: Europe/Berlin
entity: {{table: trips, keys: [line, trip], timestamp: departs_at}}
label: {{column: late, known_at: arrived_at}}
tables:
  trips:
    timestamp: departs_at
    columns:
      line: {{type: string}}
      trip: {{type: integer}}
      departs_at: {{type: timestamp}}
      arrived_at: {{type: timestamp, nullable: true}}
      late: {{type: float, nullable: true}}
      signal: {{type: float, nullable: true}}
      stop: {{type: string, nullable: true}}
features: {{request: [signal, stop]}}
validation: {{gates: [{{metric: auc, min: 0.5}}]}}
retrain: {{window: 30d, metric: auc}}
replay:
  train: [2024-03-01, 2024-03-10]
  validate: [2024-03-10, 2024-03-20]
  batch: [2024-03-20, 2024-04-10]
  compare: [2024-04-10, 2024-04-20]
"""
TASKS = {"trams": "binary_classification", "tram_delays": "regression"}
STOPS = ["Alex", "Zoo", "Südkreuz"]
FEATURES = [Feature("signal", "number"), Feature("stop", "category")]


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


def seal(
    folder: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray[Any, Any]], output: str
) -> model.Model:
    """Package a graph over `FEATURES`."""
    types = {"number": TensorProto.FLOAT, "category": TensorProto.STRING}
    graph = helper.make_graph(
        nodes,
        "trams",
        [helper.make_tensor_value_info(f.name, types[f.kind], [None, 1]) for f in FEATURES],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx_model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(onnx_model)
    file = folder / "repository" / "trams" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(onnx_model, str(file))
    return model.seal(folder, "trams", Signature(tuple(FEATURES), output), {})


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


def moments(start: datetime, rows: int, step: timedelta) -> list[datetime]:
    return [start + i * step for i in range(rows)]


def trips(
    signals: Sequence[float | None], departures: Sequence[datetime], stops: Sequence[str | None] | None = None
) -> pa.Table:
    """Examples of trips: one per signal."""
    departs = pa.array(departures, examples.TIMESTAMP)
    return pa.table(
        {
            "line": pa.array([f"M{i % 3}" for i in range(len(signals))], pa.string()),
            "trip": pa.array(range(len(signals)), pa.int64()),
            "departs_at": departs,
            "arrived_at": pa.nulls(len(signals), examples.TIMESTAMP),
            "late": pa.nulls(len(signals), pa.float64()),
            "feature_time": departs,
            "label": pa.nulls(len(signals), pa.float64()),
            "signal": pa.array(signals, pa.float64()),
            "stop": pa.array(stops if stops is not None else [STOPS[i % 3] for i in range(len(signals))], pa.string()),
        }
    )


START, END = "2024-03-20", "2024-03-30"
FIRST = datetime(2024, 3, 19, 23, tzinfo=UTC)


Inputs = Callable[..., dict[str, Any]]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write examples and quarantine; gives the paths that `predict` takes."""

    def write(
        rows: pa.Table,
        refused: pa.Table | None = None,
        window: tuple[str, str] = ("2024-03-19T23:00:00", "2024-03-29T23:00:00"),
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

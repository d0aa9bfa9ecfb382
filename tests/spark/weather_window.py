"""A window of the temperature use case as the predict step gets it: examples, quarantine, and a network over them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from loopline.components.contract import dataset, examples, model
from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import Signature
from tests.graph_inputs import inputs_of

USECASE = "tests.usecases.temperature"
STATIONS = ["EWR", "JFK", "LGA"]
FEATURES = [Feature("station", "category"), Feature("hour_of_day", "number"), Feature("last_temp", "number")]
START = datetime(2013, 5, 11, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """Folders of the artifacts, and the dates of the window."""

    model: Path
    examples: Path
    quarantine: Path
    dates: tuple[str, str]


def make(folder: Path, rows: int, days: int = 10) -> Window:
    """Some rows, evenly over the days; of every 17th the last reading is missing, and of three it is infinite."""
    step = timedelta(days=days) / rows
    at = pa.array([START + n * step for n in range(rows)], examples.TIMESTAMP)
    readings = np.random.default_rng(5).normal(60, 15, rows)
    readings[1::17] = np.nan
    readings[[0, rows // 2, rows - 1]] = np.inf
    table = pa.table(
        {
            "station": pa.array([STATIONS[n % 3] for n in range(rows)]),
            "read_at": at,
            "feature_time": at,
            "label": pa.nulls(rows, pa.float64()),
            "hour_of_day": pa.array([n % 24 for n in range(rows)], pa.int64()),
            "last_temp": pa.array(readings, from_pandas=True),
        }
    )
    window = [START.isoformat(), (START + timedelta(days=days)).isoformat()]
    facts = {"window": window, **examples.facts(FEATURES, {})}
    batches = iter(table.to_batches(max_chunksize=max(rows // 7, 1)))
    dataset.write(folder / "examples", {examples.TABLE: batches}, facts)
    refused = pa.table({"station": ["EWR", "???"], "read_at": at[:2], "reason": ["temp: too hot", "station: unknown"]})
    dataset.write(folder / "quarantine", {"readings": refused}, {})
    dates = (START.date().isoformat(), (START + timedelta(days=days)).date().isoformat())
    return Window(_network(folder / "model").path, folder / "examples", folder / "quarantine", dates)


def _network(folder: Path) -> model.Model:
    random = np.random.default_rng(3)
    weights = {
        "mean": np.full(1, 60, np.float32),
        "embedding": random.normal(size=(len(STATIONS) + 1, 4)).astype(np.float32),
        "width": np.array([-1, 4], np.int64),
        "w1": random.normal(size=(6, 64)).astype(np.float32),
        "w2": random.normal(size=(64, 1)).astype(np.float32),
    }
    encoder = {"keys_strings": STATIONS, "values_int64s": [1, 2, 3], "default_int64": 0, "domain": "ai.onnx.ml"}
    nodes = [
        helper.make_node("IsNaN", ["last_temp"], ["missing"]),
        helper.make_node("Where", ["missing", "mean", "last_temp"], ["reading"]),
        helper.make_node("LabelEncoder", ["station"], ["id"], **encoder),
        helper.make_node("Gather", ["embedding", "id"], ["looked_up"]),
        helper.make_node("Reshape", ["looked_up", "width"], ["embedded"]),
        helper.make_node("Concat", ["hour_of_day", "reading", "embedded"], ["input"], axis=1),
        helper.make_node("MatMul", ["input", "w1"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "w2"], ["offset"]),
        helper.make_node("Add", ["reading", "offset"], ["prediction"]),
    ]
    inputs, split = inputs_of(FEATURES)
    graph = helper.make_graph(
        [*split, *nodes],
        "temperature",
        inputs,
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    file = folder / "repository" / "temperature" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(file))
    return model.seal(folder, "temperature", Signature(tuple(FEATURES), "prediction"), {})

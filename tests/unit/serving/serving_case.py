"""Trams that may be late: a use case with stored features, its feature store, and a graph whose answers can be told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from loopline.components.contract import dataset, model
from loopline.components.contract.examples import TIMESTAMP, Feature
from loopline.components.contract.signature import Signature
from tests.graph_inputs import inputs_of, tell_columns

USECASE = """
name: trams
description: Will the tram be late?
task: {task}
timezone: Europe/Berlin
entity: {{table: trips, keys: [line, trip], timestamp: departs_at, lead: 10m}}
label: {{column: late, known_at: arrived_at}}
tables:
  trips:
    timestamp: departs_at
    columns:
      line: {{type: string}}
      trip: {{type: integer, min: 0}}
      departs_at: {{type: timestamp}}
      arrived_at: {{type: timestamp, nullable: true}}
      late: {{type: integer, nullable: true, min: 0, max: 1}}
      signal: {{type: float, nullable: true, min: -100, max: 100}}
      stop: {{type: string}}
      driver: {{type: string, nullable: true}}
  delays:
    columns:
      line: {{type: string}}
      seen_at: {{type: timestamp}}
      delay: {{type: float, nullable: true}}
      mood: {{type: string, nullable: true}}
  drivers:
    columns:
      driver: {{type: string}}
      years: {{type: integer}}
features: {{request: [signal, stop], stored: [line_delay, driver], lookback: 1d}}
validation: {{gates: [{{metric: auc, min: 0.5}}]}}
retrain: {{window: 30d, metric: auc}}
replay:
  train: [2024-03-01, 2024-03-10]
  validate: [2024-03-10, 2024-03-20]
  batch: [2024-03-20, 2024-04-10]
  compare: [2024-04-10, 2024-04-20]
"""
FEATURES = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

line = Entity(name="line", join_keys=["line"], value_type=ValueType.STRING)
person = Entity(name="person", join_keys=["driver"], value_type=ValueType.STRING)


def view(name, entity, ttl, **schema):
    return FeatureView(
        name=name, entities=[entity], ttl=ttl,
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in schema.items()],
        source=FileSource(path=f"{name}.parquet", timestamp_field="event_timestamp"),
    )


line_delay = view("line_delay", line, timedelta(hours=1), delay=Float64, mood=String)
driver = view("driver", person, timedelta(0), years=Int64)
HISTORY = {
    "line_delay": "select line, seen_at as event_timestamp, delay, mood from delays",
    "driver": "select driver, timestamptz '2000-01-01 00:00:00+00' as event_timestamp, years from drivers",
}
"""
INPUTS = (
    Feature("signal", "number"),
    Feature("stop", "category"),
    Feature("delay", "number", "line_delay"),
    Feature("mood", "category", "line_delay"),
    Feature("years", "number", "driver"),
)
WEIGHTS = {"signal": 0.02, "delay": 0.1, "years": -0.05}
WORDS = {"stop": {"Alex": 0.5, "Zoo": -0.5}, "mood": {"bad": 1.0}}
NOON = datetime(2024, 3, 20, 12, tzinfo=UTC)
# Materialised up to noon: M1 was seen five minutes before, M2 three hours before, M3 never; M4 without a delay.
DELAYS = [("M1", -5, 4.0, "bad"), ("M2", -180, 9.0, "good"), ("M4", -5, None, "good")]
TASKS = {"probability": "binary_classification", "prediction": "regression"}


@dataclass(frozen=True)
class Served:
    """What a service is started with."""

    package: str
    folder: Path
    store: Path
    repository: Path


def instance(line: str = "M1", **changes: Any) -> dict[str, Any]:
    """A question about a tram that leaves ten minutes after noon, asked at noon."""
    row = {
        "line": line,
        "trip": 7,
        "departs_at": (NOON + timedelta(minutes=10)).isoformat(),
        "signal": 10.0,
        "stop": "Alex",
        "driver": "Kim",
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


def expected(output: str = "probability", **values: Any) -> float:
    """What the graph gives for features; those left out are missing."""
    total = sum(weight * values.get(name, 0.0) for name, weight in WEIGHTS.items())
    total += sum(words.get(values.get(name, ""), 0.0) for name, words in WORDS.items())
    return 1 / (1 + math.exp(-total)) if output == "probability" else total


FRESH = {"signal": 10.0, "stop": "Alex", "delay": 4.0, "mood": "bad", "years": 3}


def write_package(folder: Path, name: str, output: str = "probability") -> str:
    """Write the use case as a package."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "usecase.yaml").write_text(USECASE.format(task=TASKS[output]))
    (package / "features.py").write_text(FEATURES)
    return name


def write_store(package: str, folder: Path) -> Path:
    """Build and materialise its features up to noon."""
    from loopline.components.features.build import build_features
    from loopline.components.features.materialise import materialise

    at = pa.array([NOON + timedelta(minutes=minutes) for _, minutes, _, _ in DELAYS], TIMESTAMP)
    tables = {
        "delays": pa.table(
            {
                "line": [line for line, *_ in DELAYS],
                "seen_at": at,
                "delay": pa.array([delay for *_, delay, _ in DELAYS], pa.float64()),
                "mood": [mood for *_, mood in DELAYS],
            }
        ),
        "drivers": pa.table({"driver": ["Kim"], "years": pa.array([3], pa.int64())}),
        "trips": pa.table({"line": pa.array([], pa.string())}),
    }
    dataset.write(folder / "data", tables, {"window": ["2024-03-20", "2024-03-21"]})
    build_features(package, folder / "data", folder / "history")
    materialise(package, NOON.isoformat(), folder / "store", folder / "history", folder / "receipt.json")
    return folder / "store"


def write_model(folder: Path, output: str = "probability") -> Path:
    """Package the graph; give its repository."""
    nodes, terms = [], []
    for name in WEIGHTS:
        nodes += [
            helper.make_node("IsNaN", [name], [f"{name}_nan"]),
            helper.make_node("Where", [f"{name}_nan", "zero", name], [f"{name}_filled"]),
            helper.make_node("Mul", [f"{name}_filled", f"{name}_weight"], [f"{name}_term"]),
        ]
        terms.append(f"{name}_term")
    for name, words in WORDS.items():
        nodes.append(_lookup(name, words))
        terms.append(f"{name}_term")
    nodes.append(helper.make_node("Sum", terms, ["total" if output == "probability" else output]))
    if output == "probability":
        nodes.append(helper.make_node("Sigmoid", ["total"], [output]))
    constants = {"zero": 0.0, **{f"{name}_weight": weight for name, weight in WEIGHTS.items()}}
    inputs, split = inputs_of(INPUTS)
    graph = helper.make_graph(
        [*split, *nodes],
        "trams",
        inputs,
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])],
        [onnx.numpy_helper.from_array(np.array([value], np.float32), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    tell_columns(made, INPUTS)
    onnx.checker.check_model(made)
    file = folder / "model" / "repository" / "trams" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(made, str(file))
    model.seal(folder / "model", "trams", Signature(INPUTS, output), {})
    return folder / "model" / "repository"


def tensors(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same questions as V2 tensors in JSON."""
    datatypes = {"trip": "INT64", "signal": "FP64"}
    return [
        {
            "name": name,
            "datatype": datatypes.get(name, "BYTES"),
            "shape": [len(rows), 1],
            "data": [row.get(name) for row in rows],
        }
        for name in rows[0]
    ]


def _lookup(name: str, words: Mapping[str, float]) -> onnx.NodeProto:
    return helper.make_node(
        "LabelEncoder",
        [name],
        [f"{name}_term"],
        domain="ai.onnx.ml",
        keys_strings=list(words),
        values_floats=list(words.values()),
        default_float=0.0,
    )

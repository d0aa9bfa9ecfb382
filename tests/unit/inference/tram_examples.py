"""Trams: a small use case in two tasks, examples of it, and packaging of a graph that predicts them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from loopline.components.contract import examples, model
from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import Signature
from tests.graph_inputs import inputs_of

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
# The window of `Inputs` in UTC: 20 to 29 March in Berlin.
WINDOW = ("2024-03-19T23:00:00", "2024-03-29T23:00:00")
FIRST = datetime(2024, 3, 19, 23, tzinfo=UTC)

BERLIN = ZoneInfo("Europe/Berlin")

Inputs = Callable[..., dict[str, Any]]
Predicted = Callable[..., dict[str, Any]]


def seal(
    folder: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray[Any, Any]], output: str
) -> model.Model:
    """Package a graph over `FEATURES`."""
    inputs, split = inputs_of(FEATURES)
    graph = helper.make_graph(
        [*split, *nodes],
        "trams",
        inputs,
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

"""A tiny use case in a folder of its own: things that are lit or not, and models of them in ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from loopline.components.contract import dataset, examples, model
from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import Signature
from tests.graph_inputs import inputs_of

FEATURES = (
    Feature("colour", "category"),
    Feature("size", "number"),
    Feature("warmth", "number", "weather"),
    Feature("wind", "number", "weather"),
)
COLOURS = {"red": 1.0, "green": -0.5, "blue": 0.0}
SPEC: dict[str, Any] = {
    "name": "tiny",
    "description": "Is this thing lit?",
    "task": "binary_classification",
    "timezone": "America/New_York",
    "entity": {"table": "things", "keys": ["thing"], "timestamp": "seen_at", "lead": "1h"},
    "label": {"column": "lit", "known_at": "known_at"},
    "tables": {
        "things": {
            "key": ["thing"],
            "timestamp": "seen_at",
            "columns": {
                "thing": {"type": "integer"},
                "colour": {"type": "string"},
                "shop": {"type": "integer", "nullable": True},
                "size": {"type": "float", "nullable": True},
                "seen_at": {"type": "timestamp"},
                "known_at": {"type": "timestamp", "nullable": True},
                "lit": {"type": "float", "nullable": True},
            },
        }
    },
    "features": {"request": ["colour", "size"], "stored": ["weather"]},
    "validation": {
        "slices": ["colour", "shop"],
        "slice_rows": 50,
        "scenarios": [
            {"name": "no_weather", "missing": ["weather"]},
            {"name": "larger", "shift": {"size": 2.0}},
        ],
        "gates": [{"metric": "auc", "min": 0.7}],
    },
    "retrain": {"window": "30d", "metric": "auc"},
    "replay": {
        "train": ["2024-01-01", "2024-02-01"],
        "validate": ["2024-02-01", "2024-03-01"],
        "batch": ["2024-03-01", "2024-04-01"],
        "compare": ["2024-04-01", "2024-05-01"],
    },
}
REGRESSION: dict[str, Any] = {
    "task": "regression",
    "validation": {**SPEC["validation"], "gates": [{"metric": "rmse", "max": 2.0}]},
    "retrain": {"window": "30d", "metric": "rmse"},
}


@dataclass
class World:
    """Makes use cases, examples and models below one folder."""

    root: Path
    made: int = 0
    features: Sequence[Feature] = FEATURES

    def path(self, name: str) -> Path:
        self.made += 1
        return self.root / f"{name}-{self.made}"

    def usecase(self, **changes: Any) -> str:
        self.made += 1
        package = f"tiny{self.made}"
        (self.root / package).mkdir()
        (self.root / package / "__init__.py").touch()
        text = yaml.safe_dump({**SPEC, **changes}, sort_keys=False)
        (self.root / package / "usecase.yaml").write_text(text)
        return package

    def rows(self, count: int = 600, seed: int = 1, task: str = "binary_classification") -> pa.Table:
        """Things of January and February (New York time) whose label follows the features."""
        random = np.random.default_rng(seed)
        colour = random.choice(list(COLOURS), count)
        size, warmth, wind = random.normal(size=(3, count))
        signal = 2 * size + warmth + np.array([COLOURS[one] for one in colour])
        if task == "regression":
            label = 10 + signal + random.normal(0, 0.5, count)
        else:
            label = (random.random(count) < 1 / (1 + np.exp(-signal))).astype(float)
        start = datetime(2024, 1, 1, 5, tzinfo=UTC)
        seen = [start + i * timedelta(days=60) / count for i in range(count)]
        shop = [None if i % 10 == 9 else i % 3 for i in range(count)]
        return pa.table(
            {
                "thing": pa.array(range(count), pa.int64()),
                "colour": pa.array(colour.tolist()),
                "shop": pa.array(shop, pa.int64()),
                "size": pa.array(size),
                "seen_at": pa.array(seen, examples.TIMESTAMP),
                "known_at": pa.array(seen, examples.TIMESTAMP),
                "lit": pa.array(label),
                "feature_time": pa.array(seen, examples.TIMESTAMP),
                "label": pa.array(label),
                "warmth": pa.array(warmth),
                "wind": pa.array(wind),
            }
        )

    def examples(self, rows: pa.Table | None = None, **choices: Any) -> Path:
        path = self.path("examples")
        facts = {
            "window": ["2024-01-01T05:00:00", "2024-03-01T05:00:00"],
            **examples.facts(FEATURES, {"weather": "sha256:1"}),
        }
        dataset.write(path, {"examples": self.rows(**choices) if rows is None else rows}, facts)
        return path

    def model(
        self,
        size: float = 2.0,
        warmth: float = 1.0,
        wind: float = 0.0,
        *,
        task: str = "binary_classification",
        facts: dict[str, Any] | None = None,
        blind_to_nan: bool = True,
    ) -> Path:
        """A linear model of these weights; where it is not blind to NaN, a missing number makes its output NaN."""
        path = self.path("model")
        signature = Signature.for_task(task, FEATURES)
        weights = {"size": size, "warmth": warmth, "wind": wind}
        graph = path / "repository" / "tiny" / "1" / "model.onnx"
        graph.parent.mkdir(parents=True)
        graph.write_bytes(onnx_bytes(signature.output, weights, blind_to_nan))
        known = {"categories": {"colour": ["red", "green"]}} if facts is None else facts
        model.seal(path, "tiny", signature, known)
        return path


def onnx_bytes(output: str, weights: dict[str, float], blind_to_nan: bool) -> bytes:
    from onnx import TensorProto, helper

    nodes, terms, initialisers = [], ["colour_term"], [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])]
    nodes.append(
        helper.make_node(
            "LabelEncoder",
            ["colour"],
            ["colour_term"],
            domain="ai.onnx.ml",
            keys_strings=list(COLOURS),
            values_floats=list(COLOURS.values()),
            default_float=0.0,
        )
    )
    for name, weight in weights.items():
        initialisers.append(helper.make_tensor(f"{name}_weight", TensorProto.FLOAT, [1, 1], [weight]))
        filled = f"{name}_filled" if blind_to_nan else name
        if blind_to_nan:
            nodes.append(helper.make_node("IsNaN", [name], [f"{name}_missing"]))
            nodes.append(helper.make_node("Where", [f"{name}_missing", "zero", name], [filled]))
        nodes.append(helper.make_node("MatMul", [filled, f"{name}_weight"], [f"{name}_term"]))
        terms.append(f"{name}_term")
    nodes.append(helper.make_node("Sum", terms, ["signal"]))
    if output == "probability":
        nodes.append(helper.make_node("Sigmoid", ["signal"], [output]))
    else:
        initialisers.append(helper.make_tensor("base", TensorProto.FLOAT, [], [10.0]))
        nodes.append(helper.make_node("Add", ["signal", "base"], [output]))
    inputs, split = inputs_of(FEATURES)
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph([*split, *nodes], "tiny", inputs, outputs, initialisers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.syspath_prepend(tmp_path)
    return World(tmp_path)


@pytest.fixture
def regression() -> dict[str, Any]:
    """What makes the tiny use case a regression."""
    return REGRESSION

"""Small examples with a known rule, and a use case around them."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from loopline.components.contract import dataset, examples
from loopline.components.contract.examples import Feature

USECASE = """
name: {name}
description: A rule to be learned.
task: {task}
entity: {{table: things, keys: [thing], timestamp: at}}
label: {{column: label, known_at: at}}
tables:
  things:
    key: [thing]
    timestamp: at
    columns:
      thing: {{type: string}}
      at: {{type: timestamp}}
      label: {{type: float, nullable: true}}
      size: {{type: float, nullable: true}}
      noise: {{type: float, nullable: true}}
      kind: {{type: string, nullable: true}}
features: {{request: [size, noise, kind]}}
model:
  {{epochs: 6, batch_size: 128, members: 2, width: 8, depth: 2, learning_rate: 0.02, weight_decay: 0.01,
    averaging: 0.9}}
validation: {{gates: [{{metric: model_bytes, max: 10000000}}]}}
retrain: {{window: 10d, metric: {metric}}}
replay:
  train: [2020-01-01, 2020-02-01]
  validate: [2020-02-01, 2020-03-01]
  batch: [2020-03-01, 2020-04-01]
  compare: [2020-04-01, 2020-05-01]
"""
FEATURES = [Feature("size", "number"), Feature("noise", "number"), Feature("kind", "category")]


@pytest.fixture
def make_usecase(tmp_path, monkeypatch):
    """Write a use case package of a task, with other files if given, and return its name."""
    made = []

    def make(task="binary_classification", name="learned", **files):
        folder = tmp_path / name
        folder.mkdir()
        metric = "auc" if task == "binary_classification" else "mae"
        (folder / "usecase.yaml").write_text(USECASE.format(name=name, task=task, metric=metric))
        (folder / "__init__.py").write_text("")
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        made.append(name)
        return name

    yield make
    # A module of a package that was imported would stand for the next test's package of that name.
    for module in [module for module in sys.modules if module.partition(".")[0] in made]:
        del sys.modules[module]


def make_rows(rows=1200, seed=1, task="binary_classification"):
    """Rows whose label follows from size and kind, one in ten cells missing."""
    chance = np.random.default_rng(seed)
    size, noise = chance.normal(size=rows), chance.normal(size=rows)
    kind = chance.choice(["a", "b", "c"], size=rows)
    truth = 2 * size + np.where(kind == "a", 2.0, -1.0)
    label = (
        (truth + chance.logistic(size=rows) > 0).astype(float) if task == "binary_classification" else 50 + 10 * truth
    )
    holes = chance.random(rows) < 0.1
    return pa.table(
        {
            "thing": [f"t{i}" for i in range(rows)],
            "at": pa.array(np.arange(rows) * 60_000_000, pa.timestamp("us", tz="UTC")),
            "size": pa.array(np.where(holes, np.nan, size), from_pandas=True),
            "noise": noise,
            "kind": kind,
            "feature_time": pa.array(np.arange(rows) * 60_000_000, pa.timestamp("us", tz="UTC")),
            "label": label,
        }
    )


@pytest.fixture
def write_examples(tmp_path):
    """Write rows as an examples artifact and return its path."""

    def write(rows, name="examples"):
        facts = {"window": ["2020-01-01", "2020-02-01"], **examples.facts(FEATURES, {})}
        return dataset.write(tmp_path / name, {examples.TABLE: rows}, facts).path

    return write

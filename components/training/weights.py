"""The weights artifact: what `train` writes and `package` reads.

Layout::

    network.json           format, task, features, vocabularies, hyper-parameters, scale and shift, facts, figures,
                           provenance
    weights.safetensors    the tensors, no pickle
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from loopline.components.contract.dataset import read_manifest
from loopline.components.contract.examples import Feature
from loopline.components.contract.spec import ModelSpec
from loopline.components.contract.usecase import UseCase
from loopline.components.io import atomic
from loopline.components.training.columns import Columns
from loopline.components.training.network import Ensemble, Predictor

FORMAT = "loopline.weights/1"
MANIFEST = "network.json"
TENSORS = "weights.safetensors"


@dataclass(frozen=True)
class Trained:
    """A trained predictor with everything needed to package it.

    Attributes:
        facts: what it was trained on; copied into the model.
        figures: rows, epochs and held-out loss of the training.
        provenance: MLflow run and code revision.
    """

    predictor: Predictor
    columns: Columns
    spec: ModelSpec
    facts: Mapping[str, Any]
    figures: Mapping[str, float]
    provenance: Mapping[str, str]


def build_network(case: UseCase, spec: ModelSpec, columns: Columns) -> nn.Module:
    """The use case's own torch module, if it has a model.py, else the ensemble.

    ``model.build(spec, numbers, cardinalities)`` gives a module that maps numbers [N, F] (NaN where missing) and
    category ids [N, C] (0 where unknown) to raw outputs [N, members].
    """
    build = case.model.build if case.model else Ensemble
    network: nn.Module = build(spec, len(columns.numbers), columns.cardinalities)
    return network


def save(path: Path, trained: Trained) -> None:
    """Write the artifact atomically."""
    predictor = trained.predictor
    described = {
        "format": FORMAT,
        "task": predictor.task,
        "scale": predictor.scale,
        "shift": predictor.shift,
        "features": [vars(feature) for feature in trained.columns.features],
        "vocabularies": trained.columns.vocabularies,
        "spec": trained.spec.model_dump(),
        "facts": dict(trained.facts),
        "figures": dict(trained.figures),
        "provenance": dict(trained.provenance),
    }
    with atomic.new_folder(path) as folder:
        (folder / MANIFEST).write_text(json.dumps(described, indent=1), encoding="utf-8")
        tensors = {name: tensor.contiguous().cpu() for name, tensor in predictor.network.state_dict().items()}
        save_file(tensors, folder / TENSORS)


def load(path: Path, case: UseCase) -> Trained:
    """Read the artifact.

    Raises:
        LooplineError: there is none.
        CorruptArtifactError: its manifest is damaged.
    """
    raw = _read(path)
    columns = Columns(
        tuple(Feature(**feature) for feature in raw["features"]),
        {name: tuple(values) for name, values in raw["vocabularies"].items()},
    )
    spec = ModelSpec.model_validate(raw["spec"])
    network = build_network(case, spec, columns)
    network.load_state_dict(load_file(path / TENSORS))
    predictor = Predictor(network.eval(), raw["task"], raw["scale"], raw["shift"]).eval()
    return Trained(predictor, columns, spec, raw["facts"], raw["figures"], raw["provenance"])


def figures(path: Path) -> dict[str, float]:
    """Rows, epochs and held-out loss of a training.

    Raises:
        LooplineError: there is none.
        CorruptArtifactError: its manifest is damaged.
    """
    return dict(_read(path)["figures"])


def _read(path: Path) -> dict[str, Any]:
    return read_manifest(path / MANIFEST, FORMAT, ("task", "features", "vocabularies", "spec", "figures"))

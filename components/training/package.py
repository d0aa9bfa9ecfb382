"""Package trained weights as the model that ships, and check that it predicts the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from loopline.components.contract import examples, usecase
from loopline.components.contract import model as model_artifact
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.scorer import Scorer
from loopline.components.contract.signature import Signature
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.training import triton, weights
from loopline.components.training.onnx_graph import to_onnx

TOLERANCE = 1e-5
CHECKED_ROWS = 4096


def package(
    package: str, weights_path: Path | str, examples_path: Path | str, model_path: Path | str
) -> model_artifact.Model:
    """Make the model artifact: ONNX graph, safetensors, signature, Triton repository.

    Args:
        package: the use case.
        weights_path: the weights artifact.
        examples_path: examples on whose rows graph and torch module are compared.
        model_path: folder to write.

    Raises:
        LooplineError: the graph and the torch module differ by more than 1e-5 (relative to 1 + the prediction).
    """
    case = usecase.load(package)
    trained = weights.load(Path(weights_path), case)
    signature = Signature.for_task(case.spec.task, trained.columns.features)
    graph = to_onnx(trained.predictor, trained.columns, signature.output)
    facts = {
        "task": case.spec.task,
        "description": case.spec.description,
        "categories": trained.columns.vocabularies,
        **{name: _flat(value) for name, value in trained.facts.items()},
    }
    with atomic.new_folder(Path(model_path)) as folder:
        repository = folder / "repository" / case.spec.name
        (repository / "1").mkdir(parents=True)
        (repository / "1" / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        (repository / "config.pbtxt").write_text(triton.config(case.spec.name, signature), encoding="utf-8")
        shutil.copyfile(Path(weights_path) / weights.TENSORS, folder / weights.TENSORS)
        sealed = model_artifact.seal(folder, case.spec.name, signature, facts, trained.provenance)
        rows = Dataset.open(examples_path).read(examples.TABLE, columns=list(dict.fromkeys(signature.names)))
        check_equal(trained, Scorer(sealed), rows.slice(0, CHECKED_ROWS))
    return model_artifact.Model.open(model_path, verify=False)


def check_equal(trained: weights.Trained, scorer: Scorer, rows: pa.Table) -> float:
    """The largest difference between torch and the graph, on some rows and on a row without any feature.

    Raises:
        LooplineError: it exceeds 1e-5, relative to 1 + the prediction.
    """
    empty = pa.table({name: pa.nulls(1, rows.schema.field(name).type) for name in rows.schema.names})
    checked = pa.concat_tables([rows, empty.cast(rows.schema)])
    with torch.no_grad():
        expected = trained.predictor(*trained.columns.tensors(checked)).numpy().reshape(-1)
    difference = float(np.max(np.abs(scorer.score(checked) - expected) / (1 + np.abs(expected))))
    if not difference <= TOLERANCE:
        raise LooplineError(
            f"the exported graph differs from the torch module by {difference:.2g}, more than {TOLERANCE}; "
            "the model is not packaged"
        )
    return difference


def _flat(value: object) -> str | int | float:
    """A fact as a tag of the registry, which takes no nested values."""
    return value if isinstance(value, str | int | float) else json.dumps(value)

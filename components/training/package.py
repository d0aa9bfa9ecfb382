"""Package trained weights as the model that ships, and prove that it gives the same answers."""

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
PROOF_ROWS = 4096


def package(
    package: str, weights_path: Path | str, examples_path: Path | str, model_path: Path | str
) -> model_artifact.Model:
    """Make the model artifact: ONNX graph, safetensors, signature, Triton repository.

    Args:
        package: the use case.
        weights_path: what `train` left.
        examples_path: examples whose rows prove that graph and torch module agree.
        model_path: folder to make.

    Raises:
        LooplineError: the graph and the torch module differ by more than 1e-5 (relative to 1 + the answer).
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
        prove_equal(trained, Scorer(sealed), rows.slice(0, PROOF_ROWS))
    return model_artifact.Model.open(model_path, verify=False)


def prove_equal(trained: weights.Trained, scorer: Scorer, rows: pa.Table) -> float:
    """The largest difference between torch and the graph, on rows and on rows emptied of all features.

    Raises:
        LooplineError: it exceeds 1e-5, relative to 1 + the answer.
    """
    nothing = pa.table({name: pa.nulls(1, rows.schema.field(name).type) for name in rows.schema.names})
    probed = pa.concat_tables([rows, nothing.cast(rows.schema)])
    with torch.no_grad():
        expected = trained.predictor(*trained.columns.tensors(probed)).numpy().reshape(-1)
    difference = float(np.max(np.abs(scorer.score(probed) - expected) / (1 + np.abs(expected))))
    if not difference <= TOLERANCE:
        raise LooplineError(
            f"the exported graph differs from the torch module by {difference:.2g}, more than {TOLERANCE}; "
            "it must not ship"
        )
    return difference


def _flat(value: object) -> str | int | float:
    """Facts are flat, so that a registry can hold them as tags."""
    return value if isinstance(value, str | int | float) else json.dumps(value)

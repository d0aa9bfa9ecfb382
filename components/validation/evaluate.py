"""Measure a packaged model on labelled examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.evaluation import FILE, SCORE, SCORES, Evaluation, Metrics, ScenarioResult
from loopline.components.contract.examples import LABEL, TABLE, features_of, identity_columns
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest
from loopline.components.validation.curves import curves
from loopline.components.validation.footprint import footprint
from loopline.components.validation.metrics import measure
from loopline.components.validation.robustness import perturbed
from loopline.components.validation.slices import slices
from loopline.components.validation.weighted_metrics import Floats

BATCH = 16_384


def evaluate(
    usecase: str,
    model_path: Path | str,
    examples_path: Path | str,
    evaluation_path: Path | str,
    footprint_path: Path | str,
) -> Evaluation:
    """Score every labelled example and write the evaluation, its scores, and the model's footprint.

    Equal model and examples give an evaluation of equal bytes. The footprint is measured time and does not.

    Args:
        usecase: package of the use case.
        model_path: a packaged model; it is verified.
        examples_path: examples with its features; they are verified.
        evaluation_path: the folder to write, evaluation.json and scores.parquet.
        footprint_path: the JSON file to write.

    Raises:
        LooplineError: no example has a label, a label or score is not of the task, or a scenario names no feature.
        CorruptArtifactError: the model or the examples are not what was written.
    """
    spec = contract_usecase.load(usecase).spec
    model, examples = Model.open(model_path), Dataset.open(examples_path)
    rows = _labelled(spec, examples)
    label = _labels(spec, rows)
    scorer = Scorer(model, threads=1)  # one thread: how a sum is split over threads may show in its last bit
    raw = _scores(scorer, rows, spec, "")
    score = raw.astype(np.float64)
    months = pc.strftime(rows.column(spec.entity.timestamp).cast(pa.timestamp("us", spec.timezone)), format="%Y-%m")

    with atomic.new_folder(Path(evaluation_path)) as folder:
        scores = (
            rows.select(identity_columns(spec))
            .append_column(LABEL, pa.array(label))
            .append_column(SCORE, pa.array(raw))
        )
        pq.write_table(scores.replace_schema_metadata(None), folder / SCORES, compression="zstd")
        start, end = examples.facts["window"]
        evaluation = Evaluation(
            usecase=spec.name,
            task=spec.task,
            model=model.digest,
            examples=examples.digest,
            start=start,
            end=end,
            rows=examples.rows(TABLE),
            labelled=len(rows),
            metrics=measure(spec.task, label, score),
            months=_by_month(spec.task, months, label, score),
            curves=curves(spec.task, label, score),
            slices=[
                part
                for column in spec.validation.slices
                for part in slices(rows.column(column), column, spec.task, label, score, spec.validation.slice_rows)
            ],
            scenarios=_scenarios(spec, scorer, rows, examples.facts, label),
            unseen=_unseen(model.facts, rows),
            scores=digest.of_file(folder / SCORES),
        )
        (folder / FILE).write_text(evaluation.model_dump_json(indent=1) + "\n", encoding="utf-8")
    atomic.write_text(Path(footprint_path), footprint(model, rows).model_dump_json(indent=1) + "\n")
    return evaluation


def _labelled(spec: UseCaseSpec, examples: Dataset) -> pa.Table:
    table = examples.read(TABLE)
    needed = [*identity_columns(spec), *spec.validation.slices, LABEL]
    absent = [column for column in dict.fromkeys(needed) if column not in table.schema.names]
    if absent or "window" not in examples.facts:
        raise LooplineError(
            f"the examples in {examples.path} have no {', '.join(absent) or 'window'}, which usecase.yaml needs now: "
            "build them again"
        )
    rows = table.filter(pc.is_valid(table.column(LABEL)))
    if not len(rows):
        raise LooplineError(
            f"none of the {len(table):,} examples in {examples.path} has a label, so there is nothing to evaluate on: "
            f"take a window whose '{spec.label.column}' is known (by '{spec.label.known_at}') before its end"
        )
    return rows


def _labels(spec: UseCaseSpec, rows: pa.Table) -> Floats:
    label: Floats = rows.column(LABEL).cast(pa.float64()).to_numpy()
    allowed = np.isin(label, (0, 1)) if spec.task == "binary_classification" else np.isfinite(label)
    if not allowed.all():
        wanted = "0 or 1" if spec.task == "binary_classification" else "a number"
        raise LooplineError(
            f"{np.sum(~allowed):,} labels are not {wanted}, the first of them {label[~allowed][0]}: a use case of task "
            f"{spec.task} needs that of its column '{spec.label.column}'"
        )
    return label


def _scores(scorer: Scorer, rows: pa.Table, spec: UseCaseSpec, circumstance: str) -> npt.NDArray[np.float32]:
    scores = np.concatenate([scorer.score(batch) for batch in rows.to_batches(max_chunksize=BATCH)])
    bounded = spec.task == "binary_classification"
    good = (scores >= 0) & (scores <= 1) if bounded else np.isfinite(scores)
    if not good.all():
        raise LooplineError(
            f"the model gives no {scorer.signature.output} for {np.sum(~good):,} of {len(scores):,} rows{circumstance} "
            f"but, for example, {scores[~good][0]}: its graph has to handle every input, missing ones included"
        )
    return scores


def _by_month(task: str, months: pa.ChunkedArray, label: Floats, score: Floats) -> dict[str, Metrics]:
    names, codes = np.unique(np.asarray(months.to_numpy(), dtype=str), return_inverse=True)
    return {str(name): measure(task, label[codes == code], score[codes == code]) for code, name in enumerate(names)}


def _scenarios(
    spec: UseCaseSpec, scorer: Scorer, rows: pa.Table, facts: Mapping[str, Any], label: Floats
) -> list[ScenarioResult]:
    features = features_of(facts)
    found = []
    for scenario in spec.validation.scenarios:
        score = _scores(scorer, perturbed(rows, scenario, features), spec, f" under scenario '{scenario.name}'")
        found.append(ScenarioResult(name=scenario.name, metrics=measure(spec.task, label, score.astype(np.float64))))
    return found


def _unseen(facts: Mapping[str, Any], rows: pa.Table) -> dict[str, float]:
    """Share of rows with a value new to the model, where it says what training saw; a missing value is not new."""
    shares = {}
    for feature, known in sorted(facts.get("categories", {}).items()):
        values = rows.column(feature).cast(pa.string())
        new = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=pa.array(known, pa.string()))))
        shares[feature] = (pc.sum(new).as_py() or 0) / len(rows)
    return shares

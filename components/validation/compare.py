"""Decide whether a challenger is better than the champion beyond chance."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.evaluation import SCORE, SCORES, Comparison, Evaluation, read
from loopline.components.contract.examples import LABEL
from loopline.components.contract.gates import Retrain
from loopline.components.contract.metrics import EVALUATION_METRICS, LOWER_IS_BETTER
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import atomic, digest
from loopline.components.pages.formatting import short
from loopline.components.pages.metric_names import metric_heading, metric_value
from loopline.components.validation.weighted_metrics import WEIGHTED_METRICS, Floats, weighted_metric

SEED = 2013


def compare(
    usecase: str, champion_path: Path | str, challenger_path: Path | str, comparison_path: Path | str
) -> Comparison:
    """Compare two evaluations on the same rows by the metric of the use case's retrain policy, and write the result.

    The challenger is better if the lower end of the paired-bootstrap interval of its gain exceeds ``min_gain``. Gain is
    positive where the challenger is better, also for metrics of which less is better.

    Args:
        usecase: package of the use case.
        champion_path: folder of the champion's evaluation.
        challenger_path: folder of the challenger's evaluation.
        comparison_path: the JSON file to write.

    Raises:
        LooplineError: they are not over the same rows and labels, or the metric is unknown or undefined there.
        CorruptArtifactError: scores are not those that were written with their evaluation.
    """
    spec = contract_usecase.load(usecase).spec
    policy = spec.retrain
    known = [metric for metric in EVALUATION_METRICS[spec.task] if metric in WEIGHTED_METRICS]
    if policy.metric not in known:
        raise LooplineError(
            f"usecase.yaml: retrain.metric '{policy.metric}' cannot compare models of task {spec.task}; "
            f"known: {', '.join(known)}"
        )
    champion, challenger = read(Evaluation, champion_path), read(Evaluation, challenger_path)
    old, new = _scores(Path(champion_path), champion), _scores(Path(challenger_path), challenger)
    _refuse_different_rows(old, new)
    label = _column(old, LABEL)
    values, gains = gain(policy, label, _column(old, SCORE), _column(new, SCORE))
    observed = oriented(policy.metric, *values)
    tail = (1 - policy.confidence) / 2
    low, high = (float(end) for end in np.nanquantile(gains, [tail, 1 - tail]))
    comparison = Comparison(
        champion=champion.model,
        challenger=challenger.model,
        metric=policy.metric,
        rows=len(label),
        champion_value=values[0],
        challenger_value=values[1],
        gain=observed,
        low=low,
        high=high,
        min_gain=policy.min_gain,
        confidence=policy.confidence,
        resamples=policy.resamples,
        better=low > policy.min_gain,
        reason=_reason(policy, values, observed, low, high, len(label)),
        champion_metrics=champion.metrics,
        challenger_metrics=challenger.metrics,
    )
    atomic.write_text(Path(comparison_path), comparison.model_dump_json(indent=1) + "\n")
    return comparison


def gain(policy: Retrain, label: Floats, champion: Floats, challenger: Floats) -> tuple[tuple[float, float], Floats]:
    """Both models' metric over all rows, and the challenger's gain in each bootstrap resample, float64 [resamples].

    Rows are drawn with replacement, the same for both models, so what makes a resample easy or hard cancels out
    (percentile intervals: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). Rows are taken
    as independent of each other. A resample that does not define the metric counts as NaN.

    Raises:
        LooplineError: the rows do not define the metric.
    """
    old, new = weighted_metric(policy.metric, label, champion), weighted_metric(policy.metric, label, challenger)
    rows = len(label)
    once = np.ones(rows)
    values = old(once), new(once)
    if np.isnan(values).any():
        raise LooplineError(
            f"{policy.metric} is not defined on these {rows:,} rows, whose labels are all the same: "
            "compare on a longer window"
        )
    random = np.random.default_rng(SEED)
    gains = np.empty(policy.resamples)
    for resample in range(policy.resamples):
        weight = np.bincount(random.integers(rows, size=rows, dtype=np.int32), minlength=rows).astype(np.float64)
        gains[resample] = oriented(policy.metric, old(weight), new(weight))
    return values, gains


def oriented(metric: str, champion: float, challenger: float) -> float:
    """By how much the challenger is better; negative if it is worse."""
    return champion - challenger if metric in LOWER_IS_BETTER else challenger - champion


def write_summary(comparison: Comparison, path: Path | str) -> None:
    """Write the comparison as Markdown: its reason, and all metrics of both."""
    rows = [
        f"| {metric_heading(metric)} | {metric_value(metric, value)} | "
        f"{metric_value(metric, comparison.challenger_metrics[metric])} |"
        for metric, value in comparison.champion_metrics.items()
        if metric in comparison.challenger_metrics
    ]
    heading = f"# The challenger is {'better' if comparison.better else 'not better'}"
    models = f"| | champion `{short(comparison.champion)}` | challenger `{short(comparison.challenger)}` |"
    lines = [heading, "", f"{comparison.reason}.", "", models, "|---|---|---|", *rows, ""]
    atomic.write_text(Path(path), "\n".join(lines))


def _scores(path: Path, evaluation: Evaluation) -> pa.Table:
    file = path / SCORES
    if not file.is_file():
        raise LooplineError(f"the evaluation at {path} has no {SCORES}; evaluate the model again")
    if digest.of_file(file) != evaluation.scores:
        raise CorruptArtifactError(f"{file} changed after its evaluation was written; evaluate the model again")
    return ParquetFile(file).read()


def _refuse_different_rows(champion: pa.Table, challenger: pa.Table) -> None:
    same = "evaluate champion and challenger on the same examples"
    if len(champion) != len(challenger):
        raise LooplineError(f"champion has {len(champion):,} scored rows, challenger {len(challenger):,}: {same}")
    if champion.schema.names != challenger.schema.names:
        raise LooplineError(f"champion and challenger identify their rows by different columns: {same}")
    for column in champion.schema.names:
        if column != SCORE and not champion.column(column).equals(challenger.column(column)):
            raise LooplineError(f"champion and challenger were scored on rows that differ in '{column}': {same}")


def _column(scores: pa.Table, column: str) -> Floats:
    return np.asarray(scores.column(column).to_numpy(), dtype=np.float64)


def _reason(policy: Retrain, values: tuple[float, float], observed: float, low: float, high: float, rows: int) -> str:
    better = low > policy.min_gain
    return (
        f"challenger's {policy.metric} {values[1]:.4f} against champion's {values[0]:.4f} on the same {rows:,} rows: "
        f"gain {observed:+.4f}, {policy.confidence:.0%} interval {low:+.4f} to {high:+.4f}, whose lower end "
        f"{'exceeds' if better else 'does not exceed'} the required {policy.min_gain:.4f}"
    )

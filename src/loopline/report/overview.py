"""The outcome of a loop in sentences: the top of the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.components.contract.evaluation import Comparison, Verdict
from loopline.components.contract.examples import TABLE as EXAMPLES
from loopline.components.contract.metrics import HEADLINE_METRICS
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.pages import formatting
from loopline.components.pages.metric_names import metric_name, metric_value
from loopline.local.records import RunRecord
from loopline.report.artifacts import LoopArtifacts, shows
from loopline.report.markdown import first_paragraph
from loopline.report.model_names import ModelNames, latest_metrics, main_alias

FAILED = frozenset({"failed", "killed"})


@dataclass(frozen=True)
class KeyFigure:
    """One number, its name, and a note on where it comes from."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class RunOverview:
    """The outcome of one run."""

    run: RunRecord
    sentences: Sequence[str]


@dataclass(frozen=True)
class Overview:
    """The outcome in one line, what failed (if anything did), the key figures, and the outcome of each run."""

    headline: str
    failures: Sequence[str]
    figures: Sequence[KeyFigure]
    runs: Sequence[RunOverview]


def overview(
    artifacts: LoopArtifacts, models: Sequence[Mapping[str, Any]], spec: UseCaseSpec, summary: Mapping[str, Any]
) -> Overview:
    """The outcome of a loop, whatever runs it had and however far they got."""
    names = ModelNames(models)
    failed = [found.content for found in artifacts.verdicts if not found.content.passed]
    # A challenger that fails its gates is an ordinary outcome of retraining.
    refused = failed[0] if failed and summary["retrain"] is None else None
    return Overview(
        headline=_headline(artifacts.runs, models, names, refused, summary["retrain"]),
        failures=[
            *(_failure(run) for run in artifacts.runs if run.state in FAILED),
            *([formatting.sentence(f"{names(refused.model)}: {refused.reason}")] if refused else []),
        ],
        figures=list(_figures(artifacts, models, spec, summary)),
        runs=[RunOverview(run, list(_run_sentences(run, artifacts, spec, names))) for run in artifacts.runs],
    )


def _headline(
    runs: Sequence[RunRecord],
    models: Sequence[Mapping[str, Any]],
    names: ModelNames,
    refused: Verdict | None,
    retrained: Mapping[str, str] | None,
) -> str:
    failed = next((run for run in runs if run.state in FAILED), None)
    if failed:
        return f"The loop stopped in {failed.pipeline}"
    if refused:
        return formatting.title(f"{names(refused.model)} did not pass its gates")
    champion = next((model["version"] for model in models if "champion" in model["aliases"]), None)
    if champion is None:
        return "No model is champion"
    if retrained is None:
        return f"Version {champion} is champion"
    if retrained["decision"] == "promoted":
        return f"Retraining paid: version {champion} is the new champion"
    return f"Version {champion} stays champion"


def _failure(run: RunRecord) -> str:
    """Which step of a run failed, and its error."""
    step = next((step for step in run.steps if step.state in FAILED), None)
    if step is None:
        return formatting.sentence(
            f"{run.pipeline} {run.state}: {run.error}" if run.error else f"{run.pipeline} {run.state}"
        )
    why = step.why if step.state == "failed" else run.error
    return formatting.sentence(f"step {step.name} of {run.pipeline} {step.state}: {why}")


def _figures(
    artifacts: LoopArtifacts, models: Sequence[Mapping[str, Any]], spec: UseCaseSpec, summary: Mapping[str, Any]
) -> Iterator[KeyFigure]:
    best = max(models, key=lambda model: ("champion" in model["aliases"], model["version"]), default=None)
    if best and best["metrics"]:
        month, values = latest_metrics(best["metrics"])
        metric = HEADLINE_METRICS[spec.task][0]
        yield KeyFigure(
            metric_value(metric, values.get(metric)),
            f"{metric_name(metric)} of the {main_alias(best['aliases']) or 'newest model'}",
            f"version {best['version']} on {formatting.month(month)}",
        )
    for comparison in (found.content for found in artifacts.comparisons[-1:]):
        yield KeyFigure(
            formatting.gain(comparison.gain),
            f"{metric_name(comparison.metric)} gained by retraining",
            f"{metric_value(comparison.metric, comparison.champion_value)} → "
            f"{metric_value(comparison.metric, comparison.challenger_value)}",
        )
    predicted = summary["batch"]
    if predicted:
        yield KeyFigure(
            formatting.count(predicted["rows_out"]),
            f"{spec.entity.table} predicted",
            f"of {formatting.count(predicted['rows_in'])}, "
            f"{formatting.count(predicted['rows_quarantined'])} quarantined",
        )
    steps = sum(len(run.steps) for run in artifacts.runs)
    cached = sum(run.cached for run in artifacts.runs)
    yield KeyFigure(
        formatting.duration(summary["seconds"]), "total time", f"{formatting.counted(steps, 'step')}, {cached} cached"
    )


def _run_sentences(run: RunRecord, artifacts: LoopArtifacts, spec: UseCaseSpec, names: ModelNames) -> Iterator[str]:
    """The outcome of one run, from the artifacts of its steps."""
    yield from _trained_on(run, artifacts, spec)
    compared = artifacts.of(run, "comparisons")
    if not compared:
        yield from _evaluated(run, artifacts, spec, names)
    for verdict in artifacts.of(run, "verdicts"):
        yield formatting.sentence(f"{names(verdict.model)}: {verdict.reason}")
    for comparison in compared:
        yield _compared(comparison, names)
    for receipt in artifacts.of(run, "promotions"):
        yield formatting.sentence(f"{receipt['outcome']}: {receipt['reason']}")
    for done in artifacts.of(run, "batches"):
        aside = f"; {formatting.count(done.rows_quarantined)} went to quarantine" if done.rows_quarantined else ""
        yield (
            f"Version {done.version} predicted {formatting.count(done.rows_out)} of {formatting.count(done.rows_in)} "
            f"{spec.entity.table} of {formatting.window(done.window, spec.timezone)}{aside}."
        )
    for checked in artifacts.of(run, "skew"):
        yield formatting.sentence(first_paragraph(checked))


def _trained_on(run: RunRecord, artifacts: LoopArtifacts, spec: UseCaseSpec) -> Iterator[str]:
    """What a model was trained on: the examples that the step takes whose weights these are."""
    wanted = {need for step in run.steps if "weights" in shows(step).values() for need in step.needs}
    for found in artifacts.examples:
        if found.run is run and found.step.name in wanted:
            rows = formatting.counted(found.content.rows(EXAMPLES), "example")
            yield f"Trained on {rows} of {formatting.window(found.content.facts['window'], spec.timezone)}."


def _evaluated(run: RunRecord, artifacts: LoopArtifacts, spec: UseCaseSpec, names: ModelNames) -> Iterator[str]:
    """The leading metrics of each model on each window; what an earlier run found already is not repeated."""
    for index, found in enumerate(artifacts.evaluations):
        evaluation = found.content
        earlier = [(e.content.model, e.content.metrics) for e in artifacts.evaluations[:index]]
        if found.run is not run or (evaluation.model, evaluation.metrics) in earlier:
            continue
        numbers = ", ".join(
            f"{metric_name(name)} {metric_value(name, evaluation.metrics[name])}"
            for name in HEADLINE_METRICS[spec.task]
            if name in evaluation.metrics
        )
        when = formatting.window((evaluation.start, evaluation.end), spec.timezone)
        yield formatting.sentence(f"{names(evaluation.model)} reached {numbers} on {when}")


def _compared(comparison: Comparison, names: ModelNames) -> str:
    metric = comparison.metric
    old, new = (metric_value(metric, value) for value in (comparison.champion_value, comparison.challenger_value))
    return formatting.sentence(
        f"{names(comparison.challenger)} reached {metric_name(metric)} {new} against {old} for "
        f"{names(comparison.champion)} on the same {formatting.counted(comparison.rows, 'row')}: "
        f"gain {formatting.gain(comparison.gain)}, {formatting.percent(comparison.confidence)} interval "
        f"{formatting.gain(comparison.low)} to {formatting.gain(comparison.high)}, "
        f"{'better' if comparison.better else 'not clearly better'}"
    )

"""What happened, in sentences: the top of the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.components.contract.evaluation import Comparison, Verdict
from loopline.components.contract.examples import TABLE as EXAMPLES
from loopline.components.contract.metrics import HEADLINE_METRICS
from loopline.components.contract.spec import UseCaseSpec
from loopline.local.records import RunRecord
from loopline.report import words
from loopline.report.evidence import Evidence
from loopline.report.naming import Names
from loopline.report.prose import first_paragraph

FAILED = frozenset({"failed", "killed"})


@dataclass(frozen=True)
class Figure:
    """One number to remember, with what it is and what stands behind it."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Chapter:
    """What one run came to."""

    run: RunRecord
    sentences: Sequence[str]


@dataclass(frozen=True)
class Story:
    """The outcome in one line, what failed (if anything did), the numbers to remember, and a chapter for each run."""

    headline: str
    failures: Sequence[str]
    figures: Sequence[Figure]
    chapters: Sequence[Chapter]


def tell(
    evidence: Evidence, models: Sequence[Mapping[str, Any]], spec: UseCaseSpec, summary: Mapping[str, Any]
) -> Story:
    """The story of a loop, of whatever runs it had and however far they came."""
    names = Names(models)
    failed = [found.content for found in evidence.verdicts if not found.content.passed]
    # A challenger that fails its gates is an ordinary outcome of retraining.
    refused = failed[0] if failed and summary["retrain"] is None else None
    return Story(
        headline=_headline(evidence.runs, models, names, refused, summary["retrain"]),
        failures=[
            *(_failure(run) for run in evidence.runs if run.state in FAILED),
            *([words.sentence(f"{names(refused.model)}: {refused.reason}")] if refused else []),
        ],
        figures=list(_figures(evidence, models, spec, summary)),
        chapters=[Chapter(run, list(_chapter(run, evidence, spec, names))) for run in evidence.runs],
    )


def _headline(
    runs: Sequence[RunRecord],
    models: Sequence[Mapping[str, Any]],
    names: Names,
    refused: Verdict | None,
    retrained: Mapping[str, str] | None,
) -> str:
    failed = next((run for run in runs if run.state in FAILED), None)
    if failed:
        return f"The loop stopped in {failed.pipeline}"
    if refused:
        return words.title(f"{names(refused.model)} did not pass its gates")
    champion = next((model["version"] for model in models if "champion" in model["aliases"]), None)
    if champion is None:
        return "No model is champion"
    if retrained is None:
        return f"Version {champion} is champion"
    if retrained["decision"] == "promoted":
        return f"Retraining paid: version {champion} is the new champion"
    return f"Version {champion} stays champion"


def _failure(run: RunRecord) -> str:
    """Which step of a run failed, and its one sentence."""
    step = next((step for step in run.steps if step.state in FAILED), None)
    if step is None:
        return words.sentence(
            f"{run.pipeline} {run.state}: {run.error}" if run.error else f"{run.pipeline} {run.state}"
        )
    why = step.why if step.state == "failed" else run.error
    return words.sentence(f"step {step.name} of {run.pipeline} {step.state}: {why}")


def _figures(
    evidence: Evidence, models: Sequence[Mapping[str, Any]], spec: UseCaseSpec, summary: Mapping[str, Any]
) -> Iterator[Figure]:
    best = max(models, key=lambda model: ("champion" in model["aliases"], model["version"]), default=None)
    if best and best["metrics"]:
        month, values = words.latest(best["metrics"])
        metric = HEADLINE_METRICS[spec.task][0]
        yield Figure(
            words.metric(metric, values.get(metric)),
            f"{words.metric_name(metric)} of the {words.alias(best['aliases']) or 'newest model'}",
            f"version {best['version']} on {words.month(month)}",
        )
    for comparison in (found.content for found in evidence.comparisons[-1:]):
        yield Figure(
            words.gain(comparison.gain),
            f"{words.metric_name(comparison.metric)} gained by retraining",
            f"{words.metric(comparison.metric, comparison.champion_value)} → "
            f"{words.metric(comparison.metric, comparison.challenger_value)}",
        )
    predicted = summary["batch"]
    if predicted:
        yield Figure(
            words.count(predicted["rows_out"]),
            f"{spec.entity.table} predicted",
            f"of {words.count(predicted['rows_in'])}, {words.count(predicted['rows_quarantined'])} quarantined",
        )
    steps = sum(len(run.steps) for run in evidence.runs)
    cached = sum(run.cached for run in evidence.runs)
    yield Figure(
        words.duration(summary["seconds"]), "from start to end", f"{words.counted(steps, 'step')}, {cached} cached"
    )


def _chapter(run: RunRecord, evidence: Evidence, spec: UseCaseSpec, names: Names) -> Iterator[str]:
    """What one run came to, from what its steps left."""
    yield from _learned(run, evidence, spec)
    compared = evidence.of(run, "comparisons")
    if not compared:
        yield from _scored(run, evidence, spec, names)
    for verdict in evidence.of(run, "verdicts"):
        yield words.sentence(f"{names(verdict.model)}: {verdict.reason}")
    for comparison in compared:
        yield _compared(comparison, names)
    for receipt in evidence.of(run, "promotions"):
        yield words.sentence(f"{receipt['outcome']}: {receipt['reason']}")
    for done in evidence.of(run, "batches"):
        aside = f"; {words.count(done.rows_quarantined)} went to quarantine" if done.rows_quarantined else ""
        yield (
            f"Version {done.version} predicted {words.count(done.rows_out)} of {words.count(done.rows_in)} "
            f"{spec.entity.table} of {words.window(done.window, spec.timezone)}{aside}."
        )
    for checked in evidence.of(run, "skew"):
        yield words.sentence(first_paragraph(checked))


def _learned(run: RunRecord, evidence: Evidence, spec: UseCaseSpec) -> Iterator[str]:
    """What a model was trained on: the examples that the step `train` takes."""
    wanted = {need for step in run.steps if step.name == "train" for need in step.needs}
    for found in evidence.examples:
        if found.run is run and found.step.name in wanted:
            rows = words.counted(found.content.rows(EXAMPLES), "example")
            yield f"Learned from {rows} of {words.window(found.content.facts['window'], spec.timezone)}."


def _scored(run: RunRecord, evidence: Evidence, spec: UseCaseSpec, names: Names) -> Iterator[str]:
    """The leading numbers of each model on each window; what an earlier run had measured alike is not said again."""
    for index, found in enumerate(evidence.evaluations):
        evaluation = found.content
        told = [(e.content.model, e.content.metrics) for e in evidence.evaluations[:index]]
        if found.run is not run or (evaluation.model, evaluation.metrics) in told:
            continue
        numbers = ", ".join(
            f"{words.metric_name(name)} {words.metric(name, evaluation.metrics[name])}"
            for name in HEADLINE_METRICS[spec.task]
            if name in evaluation.metrics
        )
        when = words.window((evaluation.start, evaluation.end), spec.timezone)
        yield words.sentence(f"{names(evaluation.model)} reached {numbers} on {when}")


def _compared(comparison: Comparison, names: Names) -> str:
    metric = comparison.metric
    old, new = (words.metric(metric, value) for value in (comparison.champion_value, comparison.challenger_value))
    return words.sentence(
        f"{names(comparison.challenger)} reached {words.metric_name(metric)} {new} against {old} of "
        f"{names(comparison.champion)} on the same {words.counted(comparison.rows, 'row')}: "
        f"gain {words.gain(comparison.gain)}, {words.percent(comparison.confidence)} interval "
        f"{words.gain(comparison.low)} to {words.gain(comparison.high)}, "
        f"{'better' if comparison.better else 'not clearly better'}"
    )

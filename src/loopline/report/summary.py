"""The loop in numbers, for programs: what `summary.json` holds. Pure: what was found goes in, JSON values come out."""

from collections.abc import Mapping, Sequence
from typing import Any

from loopline.components.contract.spec import UseCaseSpec
from loopline.demo.step import Act
from loopline.local.records import RunRecord
from loopline.report import releases, words
from loopline.report.evidence import Evidence, Found

FORMAT = "loopline.summary/1"
RETRAIN = "retrain"

ModelRow = Mapping[str, Any]


def summarise(
    evidence: Evidence, models: Sequence[ModelRow], spec: UseCaseSpec, seconds: float, acts: Sequence[Act] = ()
) -> dict[str, Any]:
    """What happened, as JSON values; ``batch`` and ``retrain`` are null where that did not happen."""
    runs = evidence.runs
    return {
        "format": FORMAT,
        "usecase": spec.name,
        "task": spec.task,
        "started": min((run.started for run in runs if run.started), default=""),
        "seconds": round(seconds, 3),
        "state": "succeeded" if all(run.state == "succeeded" for run in runs) else "failed",
        "runs": [_run(run) for run in runs],
        "models": [_model(model) for model in models],
        "data": [_quality(found, evidence) for found in evidence.data],
        "batch": batch(evidence),
        "retrain": retrain(evidence),
        "releases": [releases.summary(act) for act in acts],
    }


def batch(evidence: Evidence) -> dict[str, Any] | None:
    """The last batch of predictions."""
    if not evidence.batches:
        return None
    last = evidence.batches[-1].content
    return {
        "path": last.path,
        "rows_in": last.rows_in,
        "rows_out": last.rows_out,
        "rows_quarantined": last.rows_quarantined,
    }


def retrain(evidence: Evidence) -> dict[str, str] | None:
    """What became of the last challenger: ``promoted`` or ``kept`` (the champion stays), and why."""
    run = next((run for run in reversed(evidence.runs) if run.pipeline == RETRAIN), None)
    if run is None or run.state != "succeeded":
        return None
    for receipt in evidence.of(run, "promotions"):
        return {"decision": str(receipt.get("outcome", "")), "reason": str(receipt.get("reason", ""))}
    for comparison in evidence.of(run, "comparisons"):
        if not comparison.better:
            return {"decision": "kept", "reason": comparison.reason}
    for verdict in evidence.of(run, "verdicts"):
        if not verdict.passed:
            return {"decision": "kept", "reason": verdict.reason}
    return None


def _run(run: RunRecord) -> dict[str, Any]:
    return {
        "pipeline": run.pipeline,
        "run": run.id,
        "state": run.state,
        "seconds": run.seconds,
        "steps": len(run.steps),
        "cached": run.cached,
        "error": run.error,
        "step_list": [
            {"name": step.name, "state": step.state, "seconds": step.seconds, "why": step.why} for step in run.steps
        ],
    }


def _model(model: ModelRow) -> dict[str, Any]:
    return {
        "version": model["version"],
        "alias": words.alias(model["aliases"]),
        "aliases": sorted(model["aliases"]),
        "digest": model["digest"],
        "metrics": model["metrics"],
    }


def _quality(data: Found[Any], evidence: Evidence) -> dict[str, Any]:
    """Rows that were kept and rows that were set aside, by table of one validated dataset."""
    refused = next((q.content for q in evidence.quarantine if q.step is data.step), None)
    return {
        "run": data.run.id,
        "step": data.step.name,
        "window": data.content.facts.get("window"),
        "rows": {name: data.content.rows(name) for name in data.content.tables},
        "quarantined": {name: refused.rows(name) for name in refused.tables} if refused else {},
    }

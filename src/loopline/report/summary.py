"""The loop in numbers, for programs: the content of `summary.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from loopline.components.contract.spec import UseCaseSpec
from loopline.demo.step import DemoStep
from loopline.local.records import RunRecord
from loopline.report import release_section
from loopline.report.artifacts import LoopArtifacts, StepArtifact
from loopline.report.model_names import main_alias

FORMAT = "loopline.summary/1"
RETRAIN = "retrain"

ModelRow = Mapping[str, Any]


def summarise(
    artifacts: LoopArtifacts,
    models: Sequence[ModelRow],
    spec: UseCaseSpec,
    seconds: float,
    releases: Sequence[DemoStep] = (),
) -> dict[str, Any]:
    """What happened, as JSON values; ``batch`` and ``retrain`` are null where that did not happen."""
    runs = artifacts.runs
    return {
        "format": FORMAT,
        "usecase": spec.name,
        "task": spec.task,
        "started": min((run.started for run in runs if run.started), default=""),
        "seconds": round(seconds, 3),
        "state": "succeeded" if all(run.state == "succeeded" for run in runs) else "failed",
        "runs": [_run(run) for run in runs],
        "models": [_model(model) for model in models],
        "data": [_quality(found, artifacts) for found in artifacts.data],
        "batch": batch(artifacts),
        "retrain": retrain(artifacts),
        "releases": [release_section.summary(release) for release in releases],
    }


def batch(artifacts: LoopArtifacts) -> dict[str, Any] | None:
    """The last batch of predictions."""
    if not artifacts.batches:
        return None
    last = artifacts.batches[-1].content
    return {
        "path": last.path,
        "rows_in": last.rows_in,
        "rows_out": last.rows_out,
        "rows_quarantined": last.rows_quarantined,
    }


def retrain(artifacts: LoopArtifacts) -> dict[str, str] | None:
    """Whether the last challenger was ``promoted`` or the champion ``kept``, and why."""
    run = next((run for run in reversed(artifacts.runs) if run.pipeline == RETRAIN), None)
    if run is None or run.state != "succeeded":
        return None
    for receipt in artifacts.of(run, "promotions"):
        return {"decision": str(receipt.get("outcome", "")), "reason": str(receipt.get("reason", ""))}
    for comparison in artifacts.of(run, "comparisons"):
        if not comparison.better:
            return {"decision": "kept", "reason": comparison.reason}
    for verdict in artifacts.of(run, "verdicts"):
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
        "alias": main_alias(model["aliases"]),
        "aliases": sorted(model["aliases"]),
        "digest": model["digest"],
        "metrics": model["metrics"],
    }


def _quality(data: StepArtifact[Any], artifacts: LoopArtifacts) -> dict[str, Any]:
    """Rows that were kept and rows that were set aside, by table of one validated dataset."""
    refused = next((q.content for q in artifacts.quarantine if q.step is data.step), None)
    return {
        "run": data.run.id,
        "step": data.step.name,
        "window": data.content.facts.get("window"),
        "rows": {name: data.content.rows(name) for name in data.content.tables},
        "quarantined": {name: refused.rows(name) for name in refused.tables} if refused else {},
    }

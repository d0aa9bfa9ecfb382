"""The report of a loop: an HTML page, a JSON summary, and tables for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline.components.contract.spec import UseCaseSpec
from loopline.demo.step import DemoStep
from loopline.local.records import RunRecord


def write_report(
    folder: Path,
    runs: Sequence[RunRecord],
    models: Sequence[Mapping[str, Any]],
    spec: UseCaseSpec,
    seconds: float,
    releases: Sequence[DemoStep] = (),
) -> Path:
    """Write ``index.html`` and ``summary.json`` about some runs of a use case, each atomically.

    Args:
        folder: where to write.
        runs: in the order in which they ran; the last may have failed.
        models: the registry's versions: version, aliases, digest, metrics by month, lineage, created.
        spec: the use case.
        seconds: total time.
        releases: those at the end of the loop.

    Returns:
        The page.
    """
    import json

    from loopline.components.io import atomic
    from loopline.report.artifacts import load_artifacts, with_evaluations
    from loopline.report.page import render
    from loopline.report.summary import summarise

    artifacts = load_artifacts(runs)
    measured = with_evaluations(models, artifacts)
    summary = summarise(artifacts, measured, spec, seconds, releases)
    page = folder / "index.html"
    atomic.write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, default=str) + "\n")
    atomic.write_text(page, render(artifacts, measured, spec, summary, releases))
    return page

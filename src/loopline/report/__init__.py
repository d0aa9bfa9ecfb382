"""What a person sees at the end of a loop: the page, the summary beside it, and the tables in the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline.components.contract.spec import UseCaseSpec
from loopline.demo.step import Act
from loopline.local.records import RunRecord


def write_report(
    folder: Path,
    runs: Sequence[RunRecord],
    models: Sequence[Mapping[str, Any]],
    spec: UseCaseSpec,
    seconds: float,
    acts: Sequence[Act] = (),
) -> Path:
    """Write ``index.html`` and ``summary.json`` about some runs of a use case, each atomically.

    Args:
        folder: where to write.
        runs: in the order in which they ran; the last may have failed.
        models: the registry's versions: version, aliases, digest, metrics by month, lineage, created.
        spec: the use case.
        seconds: how long it all took.
        acts: the releases.

    Returns:
        The page.
    """
    import json

    from loopline.components.io import atomic
    from loopline.report.evidence import gather, with_evaluations
    from loopline.report.page import render
    from loopline.report.summary import summarise

    evidence = gather(runs)
    measured = with_evaluations(models, evidence)
    summary = summarise(evidence, measured, spec, seconds, acts)
    page = folder / "index.html"
    atomic.write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, default=str) + "\n")
    atomic.write_text(page, render(evidence, measured, spec, summary, acts))
    return page

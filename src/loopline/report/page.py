"""The report of a loop as one HTML page."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loopline.components.contract.metrics import HEADLINE_METRICS
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io.digest import PREFIX
from loopline.components.pages import charts, evaluation_charts
from loopline.components.pages import page as pages
from loopline.components.pages.formatting import short
from loopline.components.pages.metric_names import metric_name, metric_value
from loopline.demo.step import DemoStep
from loopline.report import dag, release_section
from loopline.report.artifacts import LoopArtifacts
from loopline.report.data_section import validated_data
from loopline.report.evaluation_panels import panels
from loopline.report.markdown import to_html
from loopline.report.model_names import ModelNames
from loopline.report.overview import overview
from loopline.report.states import SYMBOLS

TEMPLATES = Path(__file__).with_name("templates")
# Sections in order: the template of that name, and its title.
SECTIONS = {
    "outcome": "Outcome",
    "runs": "Runs",
    "data": "Data",
    "models": "Models",
    "quality": "Quality",
    "slices": "Slices",
    "robustness": "Robustness",
    "gates": "Gates",
    "comparison": "Champion against challenger",
    "releases": "Releases",
    "batch": "Batch",
    "skew": "Skew",
    "notes": "Notes",
    "card": "Model card",
    "lineage": "Lineage",
}
# Metrics that the table of models shows beside the leading ones.
MEANS = ("mean_predicted", "mean_seen")


def render(
    artifacts: LoopArtifacts,
    models: Sequence[Mapping[str, Any]],
    spec: UseCaseSpec,
    summary: Mapping[str, Any],
    releases: Sequence[DemoStep] = (),
) -> str:
    """The whole page; a section for which nothing was found is left out.

    Args:
        artifacts: what the runs left.
        models: the registry's versions.
        spec: the use case.
        summary: what `summarise` made of the same.
        releases: those at the end of the loop.
    """
    names = ModelNames(models)
    evaluated = panels(artifacts, spec, names)
    found = {
        "outcome": True,
        "runs": artifacts.runs,
        "data": artifacts.data,
        "models": models,
        "quality": evaluated,
        "slices": evaluated and evaluated[0].slices,
        "robustness": evaluated and evaluated[0].scenarios,
        "gates": artifacts.verdicts,
        "comparison": artifacts.comparisons,
        "releases": releases,
        "batch": artifacts.batches,
        "skew": artifacts.skew,
        "notes": artifacts.notes,
        "card": artifacts.cards,
        "lineage": artifacts.runs,
    }
    return pages.render(
        TEMPLATES,
        "index.html.j2",
        contents=[(name, title) for name, title in SECTIONS.items() if found[name]],
        artifacts=artifacts,
        models=sorted(models, key=lambda model: model["version"]),
        names=names,
        spec=spec,
        summary=summary,
        overview=overview(artifacts, models, spec, summary),
        label=spec.label.column if spec.task == "binary_classification" else None,
        columns=[*HEADLINE_METRICS[spec.task], *MEANS],
        panels=evaluated,
        data=validated_data(artifacts, spec),
        graphs=[(run, dag.draw(run)) for run in artifacts.runs],
        rows_by_date=lambda dates: charts.bars(list(dates.values()), "rows by date", width=6 * len(dates)),
        releases=[release_section.shown(release) for release in releases],
        checks=release_section,
        intervals=[evaluation_charts.interval(found.content) for found in artifacts.comparisons],
        SYMBOLS=SYMBOLS,
        to_html=to_html,
        gate_name=_gate_name,
        gate_bound=_gate_bound,
        lineage=_lineage,
    )


def _gate_name(gate: Mapping[str, Any]) -> str:
    name = metric_name(gate["metric"])
    if gate.get("slice"):
        return f"{name} in the worst {gate['slice']}"
    if gate.get("scenario"):
        return f"{name} under {metric_name(gate['scenario'])}"
    return name


def _gate_bound(gate: Mapping[str, Any]) -> str:
    bounds = [("≥", gate.get("min")), ("≤", gate.get("max"))]
    return " and ".join(f"{sign} {metric_value(gate['metric'], bound)}" for sign, bound in bounds if bound is not None)


def _lineage(value: Any) -> str:
    """A value of a model's lineage, which may be JSON text; digests by their first digits."""
    with suppress(ValueError):
        value = json.loads(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_lineage(part)}" for name, part in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(_lineage(part) for part in value)
    return short(value) if isinstance(value, str) and value.startswith(PREFIX) else str(value)

"""The page: one HTML file that needs nothing else, from the evidence of some runs."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from loopline.components.contract.metrics import HEADLINE_METRICS
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io.digest import PREFIX
from loopline.demo.step import Act
from loopline.report import dag, plots, releases, words
from loopline.report.evidence import Evidence
from loopline.report.judgement import panels
from loopline.report.naming import Names
from loopline.report.prose import render as prose
from loopline.report.quality import checked_data
from loopline.report.story import tell

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
    "card": "Model card",
    "lineage": "Lineage",
}
# Metrics that the table of models shows beside the leading ones.
MEANS = ("mean_predicted", "mean_seen")


def render(
    evidence: Evidence,
    models: Sequence[Mapping[str, Any]],
    spec: UseCaseSpec,
    summary: Mapping[str, Any],
    acts: Sequence[Act] = (),
) -> str:
    """The whole page; a section for which nothing was found is left out.

    Args:
        evidence: what the runs left.
        models: the registry's versions.
        spec: the use case.
        summary: what `summarise` made of the same.
        acts: the releases.
    """
    names = Names(models)
    judged = panels(evidence, spec, names)
    found = {
        "outcome": True,
        "runs": evidence.runs,
        "data": evidence.data,
        "models": models,
        "quality": judged,
        "slices": judged and judged[0].slices,
        "robustness": judged and judged[0].scenarios,
        "gates": evidence.verdicts,
        "comparison": evidence.comparisons,
        "releases": acts,
        "batch": evidence.batches,
        "skew": evidence.skew,
        "card": evidence.cards,
        "lineage": evidence.runs,
    }
    templates = _environment()
    style, _, _ = templates.loader.get_source(templates, "style.css")  # type: ignore[union-attr]
    return templates.get_template("index.html.j2").render(
        contents=[(name, title) for name, title in SECTIONS.items() if found[name]],
        style=Markup(style),  # noqa: S704 - our own file
        evidence=evidence,
        models=sorted(models, key=lambda model: model["version"]),
        names=names,
        spec=spec,
        summary=summary,
        story=tell(evidence, models, spec, summary),
        label=spec.label.column if spec.task == "binary_classification" else None,
        columns=[*HEADLINE_METRICS[spec.task], *MEANS],
        panels=judged,
        data=checked_data(evidence, spec),
        drawings=[(run, dag.draw(run)) for run in evidence.runs],
        dates=lambda by_date: plots.bars(list(by_date.values()), "rows by date", width=6 * len(by_date)),
        releases=[releases.shown(act) for act in acts],
        cells=releases.CELLS,
        intervals=[plots.interval(found.content) for found in evidence.comparisons],
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("loopline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, prose=prose, gate_name=_gate_name, gate_bound=_gate_bound, lineage=_lineage)
    return environment


def _gate_name(gate: Mapping[str, Any]) -> str:
    name = words.metric_name(gate["metric"])
    if gate.get("slice"):
        return f"{name} in the worst {gate['slice']}"
    if gate.get("scenario"):
        return f"{name} under {words.metric_name(gate['scenario'])}"
    return name


def _gate_bound(gate: Mapping[str, Any]) -> str:
    bounds = [("≥", gate.get("min")), ("≤", gate.get("max"))]
    return " and ".join(f"{sign} {words.metric(gate['metric'], bound)}" for sign, bound in bounds if bound is not None)


def _lineage(value: Any) -> str:
    """What a model says about where it comes from, digests by their first digits; it may be JSON text."""
    with suppress(ValueError):
        value = json.loads(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_lineage(part)}" for name, part in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(_lineage(part) for part in value)
    return words.short(value) if isinstance(value, str) and value.startswith(PREFIX) else str(value)

"""The section on releases: what was decided at each step and why, and the share of traffic that the canary got."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from loopline.components.deployment.analysis.analyse import Decision
from loopline.components.deployment.analysis.checks import Check
from loopline.components.deployment.analysis.formatting import value
from loopline.components.deployment.release.markdown import VERDICTS
from loopline.components.deployment.release.record import Decided, Ended, Record, Shifted
from loopline.components.pages.axes import Axes
from loopline.components.pages.svg import Points, picture
from loopline.demo.step import DemoStep

# The chart continues for a while after the last change, to show its effect.
_AFTER = 1.08


@dataclass(frozen=True)
class ShownRelease:
    """A release as the page shows it: how long it took, each decision, and the canary's traffic over time."""

    release: DemoStep
    seconds: float
    decisions: list[Decision]
    traffic: Markup


def shown(release: DemoStep) -> ShownRelease:
    """A release, ready for its template."""
    record = release.record
    return ShownRelease(release, _seconds(record), _decisions(record), _traffic(list(_shares(record))))


def summary(release: DemoStep) -> dict[str, Any]:
    """A release as JSON values."""
    record = release.record
    return {
        "canary": release.canary,
        "version": record.canary,
        "stable": record.stable,
        "outcome": record.outcome,
        "reason": record.reason,
        "began": record.began.isoformat(),
        "seconds": round(_seconds(record), 3),
        "requests_answered": release.answered,
        "requests_failed": release.failed,
        "steps": [
            {
                "number": decision.step.number,
                "percent": decision.step.percent,
                "outcome": decision.outcome,
                "reason": decision.reason,
                "canary_requests": decision.canary_requests,
                "stable_requests": decision.stable_requests,
                "checks": [check.model_dump() for check in decision.checks],
            }
            for decision in _decisions(record)
        ],
    }


def _decisions(record: Record) -> list[Decision]:
    return [event.decision for event in record.events if isinstance(event, Decided)]


def _seconds(record: Record) -> float:
    last = record.events[-1] if record.events else None
    return (last.time - record.began).total_seconds() if isinstance(last, Ended) else 0.0


def _shares(record: Record) -> Iterator[tuple[float, float]]:
    """Percent of the traffic that the canary had, by seconds since the beginning, at each change and a while after."""
    share = seconds = 0.0
    yield 0, share
    for event in record.events:
        if isinstance(event, Shifted):
            moment, now = event.step.started, float(event.step.percent)
        elif isinstance(event, Ended):
            moment, now = event.time, 100.0 if event.outcome == "promoted" else 0.0
        else:
            continue
        seconds = (moment - record.began).total_seconds()
        yield seconds, share
        yield seconds, now
        share = now
    yield seconds * _AFTER, share


def subject(check: Check, record: Record) -> str:
    """What a check compares, with its unit or threshold."""
    limit = record.baseline.latency.limit if record.baseline.latency else None
    loss = "mean log loss" if record.task == "binary_classification" else "mean squared error"
    return {
        "errors": "failed",
        "latency": f"slower than {1000 * limit:.3g} ms" if limit else "slow",
        "scores": "scores above a cut",
        "quality": loss,
    }[check.name]


def figure(check: Check, number: float | None) -> str:
    """A number of a check, for a cell of a table."""
    return value(check, number).replace("-", "−") or "–"


def between(check: Check) -> str:
    """The interval of a check, for a cell of a table."""
    if check.low is None or check.high is None:
        return "–"
    return f"{figure(check, check.low).removesuffix('%')} and {figure(check, check.high)}"


def verdict(check: Check) -> str:
    """The verdict of a check, for a cell of a table."""
    return VERDICTS[check.verdict].strip("*").replace(" ", "\N{NO-BREAK SPACE}")


def _traffic(points: Points) -> Markup:
    """The canary's share of the traffic, in percent, against seconds."""
    axes = Axes.over((0, 0), (max(points[-1][0], 1), 100))
    frame = axes.frame("seconds since the release began", "% of the traffic")
    return picture(*axes.size, "Traffic of the canary over time", frame, axes.line(points, "line s0"), class_="plot")

"""The section about releases: what was decided at each step, on what numbers, and how the traffic moved."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from loopline.components.deployment.analyse import Decision
from loopline.components.deployment.checks import Check
from loopline.components.deployment.page import VERDICTS
from loopline.components.deployment.record import Decided, Ended, Record, Shifted
from loopline.demo.step import Act
from loopline.report import plots

# The plot goes on for a while after the last change, to show what it left.
_AFTER = 1.08


@dataclass(frozen=True)
class ShownRelease:
    """A release as the page shows it: how long it took, each decision, and the canary's traffic over time."""

    act: Act
    seconds: float
    decisions: list[Decision]
    traffic: Markup


def shown(act: Act) -> ShownRelease:
    """A release, ready for its template."""
    return ShownRelease(act, _seconds(act.record), _decisions(act.record), plots.traffic(list(_shares(act.record))))


def summary(act: Act) -> dict[str, Any]:
    """A release as JSON values."""
    record = act.record
    return {
        "canary": act.canary,
        "version": record.canary,
        "stable": record.stable,
        "outcome": record.outcome,
        "reason": record.reason,
        "began": record.began.isoformat(),
        "seconds": round(_seconds(record), 3),
        "requests_answered": act.answered,
        "requests_failed": act.failed,
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


def _subject(check: Check, record: Record) -> str:
    """What a check compares, with its unit or threshold."""
    limit = record.reference.latency.limit if record.reference.latency else None
    loss = "mean log loss" if record.task == "binary_classification" else "mean squared error"
    return {
        "errors": "failed",
        "latency": f"slower than {1000 * limit:.3g} ms" if limit else "slow",
        "scores": "scores above a cut",
        "quality": loss,
    }[check.name]


def _value(check: Check, number: float | None) -> str:
    if number is None:
        return "–"
    figure = f"{number:.3f}" if check.name == "quality" else f"{100 * number:.1f} %"
    return figure.replace("-", "−")


def _between(check: Check) -> str:
    if check.low is None or check.high is None:
        return "–"
    low, high = _value(check, check.low), _value(check, check.high)
    return f"{low.removesuffix(' %')} and {high}"


def _verdict(check: Check) -> str:
    return VERDICTS[check.verdict].strip("*").replace(" ", "\N{NO-BREAK SPACE}")


CELLS = {"subject": _subject, "value": _value, "between": _between, "verdict": _verdict}

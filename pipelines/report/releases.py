"""The section about releases: what was decided at each step, on what numbers, and how the traffic moved."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from components.deployment.analyse import Decision
from components.deployment.record import Decided, Ended, Record, Shifted
from components.deployment.wording import span, value
from pipelines.acts.act import Act
from pipelines.report import plots


@dataclass(frozen=True)
class ShownRelease:
    """A release as the page shows it: how it went, each decision, and the canary's traffic over time."""

    act: Act
    decisions: list[Decision]
    traffic: Markup


def shown(act: Act) -> ShownRelease:
    """A release, ready for its template."""
    return ShownRelease(act, _decisions(act.record), plots.traffic(list(_shares(act.record))))


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
        "seconds": round((_end(record) - record.began).total_seconds(), 3),
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


def _end(record: Record) -> datetime:
    last = record.events[-1] if record.events else None
    return last.time if isinstance(last, Ended) else record.began


def _shares(record: Record) -> Iterator[tuple[float, float]]:
    """Percent of the traffic that the canary had, by seconds since the beginning, at each change."""
    share = 0.0
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


CELLS = {"value": value, "span": span}

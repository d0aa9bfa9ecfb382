"""The record of a release as a page for people, in Markdown."""

from datetime import UTC, datetime

from loopline.components.deployment.analysis.analyse import Decision
from loopline.components.deployment.analysis.checks import Check
from loopline.components.deployment.analysis.formatting import span, value
from loopline.components.deployment.release.record import Decided, Record, Shifted, Stopped
from loopline.components.deployment.release.transitions import next_action

VERDICTS = {"worse": "**worse**", "fine": "fine", "open": "inconclusive", "unjudged": "nothing to compare"}


def page(record: Record, latest: Decision | None = None) -> str:
    """Show a release: where it stands, each step with its reason and numbers, and the step under way.

    Args:
        record: the release.
        latest: the analysis of the step under way, if it was to wait.
    """
    planned = ", ".join(f"{percent}%" for percent in record.policy.steps)
    began = f"Begun {_clock(record.began)} UTC; planned traffic of the canary: {planned}, then all."
    title = f"# {record.endpoint}: version {record.stable} to {record.canary}"
    lines = [title, "", f"{_standing(record)} {began}", "", _policy(record), ""]
    for event in record.events:
        if isinstance(event, Decided):
            lines += section(event.decision)
        elif isinstance(event, Stopped):
            lines += [f"## Stopped by {event.by}", "", f"{_sentence(event.reason)} ({_clock(event.time)} UTC)", ""]
    if latest and latest.outcome == "wait":
        lines += section(latest)
    return "\n".join(lines)


def _policy(record: Record) -> str:
    """Under which policy the release runs, and who set it."""
    policy, (least, most) = record.policy, record.policy.requests
    limits = f"{least:,} to {most:,} requests and at most {policy.time_limit} a step"
    changed = f", with {', '.join(record.overrides)} from the environment's policy.yaml" if record.overrides else ""
    return f"Policy: {limits}. From usecase.yaml{changed}."


def section(decision: Decision) -> list[str]:
    """One decision: its reason, and a table of its checks."""
    step = decision.step
    requests = f"{decision.canary_requests:,} requests of the canary, {decision.stable_requests:,} of the stable"
    period = f"{_clock(step.started)} to {_clock(decision.time)} UTC"
    title = f"## Step {step.number}, {step.percent}%: {decision.outcome}"
    lines = [title, "", f"{_sentence(decision.reason)} ({requests}, {period})", ""]
    if decision.checks:
        lines += [
            "| Check | Canary | Stable | Worse by | Interval | Allowed | Requests | |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(check) for check in decision.checks),
            "",
        ]
    return lines


def _row(check: Check) -> str:
    cells = [
        check.name,
        value(check, check.canary),
        value(check, check.stable),
        value(check, check.estimate),
        span(check),
        value(check, check.bound),
        f"{check.canary_requests:,} / {check.stable_requests:,}",
        VERDICTS[check.verdict],
    ]
    return f"| {' | '.join(cells)} |"


def _standing(record: Record) -> str:
    if record.outcome:
        return f"{record.outcome.capitalize()}."
    last = record.events[-1] if record.events else None
    if isinstance(last, Shifted):
        return f"Under way: step {last.step.number} of {len(record.policy.steps)}, {last.step.percent}% of the traffic."
    action = next_action(record)
    due = f"shift to {action.percent}%" if action.kind == "shift" else action.kind
    return f"Under way, due: {due}."


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}." if reason else ""

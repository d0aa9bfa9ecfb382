"""The record of a release as Markdown."""

from datetime import UTC, datetime

from loopline.components.deployment.analysis.analyse import Decision
from loopline.components.deployment.analysis.checks import Check
from loopline.components.deployment.analysis.formatting import interval, value
from loopline.components.deployment.release.record import Decided, Record, Shifted, Stopped
from loopline.components.deployment.release.transitions import next_action

VERDICTS = {"worse": "**worse**", "fine": "fine", "open": "inconclusive", "unjudged": "nothing to compare"}


def record_markdown(record: Record, latest: Decision | None = None) -> str:
    """A release as Markdown: its state, and each step with the reason and the numbers of its decision.

    Args:
        record: of the release.
        latest: the last analysis of the current step, if its decision was to wait.
    """
    planned = ", ".join(f"{percent}%" for percent in record.policy.steps)
    began = f"Begun {_utc(record.began)} UTC; planned traffic of the canary: {planned}, then all."
    title = f"# {record.endpoint}: version {record.stable} to {record.canary}"
    lines = [title, "", f"{_state(record)} {began}", "", _policy(record), ""]
    for event in record.events:
        if isinstance(event, Decided):
            lines += decision_markdown(event.decision)
        elif isinstance(event, Stopped):
            lines += [f"## Stopped by {event.by}", "", f"{_sentence(event.reason)} ({_utc(event.time)} UTC)", ""]
    if latest and latest.outcome == "wait":
        lines += decision_markdown(latest)
    return "\n".join(lines)


def _policy(record: Record) -> str:
    """The policy of the release, and where it is set."""
    policy, (least, most) = record.policy, record.policy.requests
    limits = f"{least:,} to {most:,} requests and at most {policy.time_limit} a step"
    changed = f", with {', '.join(record.overrides)} from the environment's policy.yaml" if record.overrides else ""
    return f"Policy: {limits}. From usecase.yaml{changed}."


def decision_markdown(decision: Decision) -> list[str]:
    """The lines of one decision: its reason, and a table of its checks."""
    step = decision.step
    requests = f"{decision.canary_requests:,} requests of the canary, {decision.stable_requests:,} of the stable"
    period = f"{_utc(step.started)} to {_utc(decision.time)} UTC"
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
        interval(check),
        value(check, check.bound),
        f"{check.canary_requests:,} / {check.stable_requests:,}",
        VERDICTS[check.verdict],
    ]
    return f"| {' | '.join(cells)} |"


def _state(record: Record) -> str:
    if record.outcome:
        return f"{record.outcome.capitalize()}."
    last = record.events[-1] if record.events else None
    if isinstance(last, Shifted):
        return f"Under way: step {last.step.number} of {len(record.policy.steps)}, {last.step.percent}% of the traffic."
    action = next_action(record)
    due = f"shift to {action.percent}%" if action.kind == "shift" else action.kind
    return f"Under way, due: {due}."


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}." if reason else ""

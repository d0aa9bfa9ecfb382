"""The steps of the release DAG.

Each step reads from the release's record what is due. So steps may run in any order, twice, or at the same time: of
those that act on the same generation of the record, one succeeds and the others change nothing.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.model import Model
from loopline.components.deployment.release import plan as plans
from loopline.components.deployment.release.markdown import decision_markdown, record_markdown
from loopline.components.deployment.release.plan import Plan, ReleaseState
from loopline.components.deployment.release.record import Decided, Record
from loopline.components.deployment.release.transitions import next_action
from loopline.components.deployment.step_context import StepContext
from loopline.components.errors import LooplineError
from loopline.components.io import atomic

NOTHING = "nothing was due"


def render(
    requested: str,
    champion: str,
    since: str,
    wait: str,
    plan: Plan,
    model: str,
    service_file: str,
    policy: EnvironmentPolicy = UNCHANGED,
) -> Plan:
    """Check everything that can be checked in advance, then begin a release or find the current one.

    Args:
        requested: number of a version, or "champion"; with "champion", a release under way is continued first.
        champion: number of the champion.
        since: ISO time since when it is champion.
        wait: seconds that the run waits for evidence at most; empty for no limit.
        plan: of the run, without version and state.
        model: path of the champion's package.
        service_file: receives the InferenceService after the action that is due.
        policy: the environment's changes to the use case's policy.

    Returns:
        the complete plan.

    Raises:
        LooplineError: the release cannot begin, or the InferenceService or the package would be refused.
    """
    patience, context = plans.seconds(wait), StepContext(plan, policy)
    target, last = context.target, context.target.record()
    stable = target.traffic_split().stable
    version, state = _resolve_version(requested, champion, datetime.fromisoformat(since), stable, last)
    service = target.service()
    if state == "under way":

        def check(record: Record) -> None:
            target.rendered(next_action(record), record)
            target.upload_model(version, Model.open(model))

        record = context.controller.begin(version, check)
        due = next_action(record)
        if due.kind not in {"analyse", "nothing"}:
            service = target.rendered(due, record)
    atomic.write_text(Path(service_file), yaml.safe_dump(service, sort_keys=False))
    until = None if patience is None else context.controller.now() + timedelta(seconds=patience)
    return plan.model_copy(update={"version": version, "state": state, "until": until})


def remaining_steps(plan: Plan) -> list[str]:
    """Percentages of the steps that are not decided yet; never empty, since KFP cannot loop over an empty list."""
    context = StepContext(plan)
    record = context.target.record() if plan.state == "under way" else None
    steps = record.policy.steps if record else context.case.spec.release.steps
    decided = sum(isinstance(event, Decided) for event in record.events) if record else len(steps)
    return [str(percent) for percent in steps[decided:] or steps[-1:]]


def canary(plan: Plan) -> str:
    """Give the canary its share of the traffic if a shift is due; a canary that does not start is rolled back at once.

    Returns:
        what was done, in words.

    Raises:
        LooplineError: the endpoint cannot be changed.
    """
    if plan.state != "under way":
        return NOTHING
    context = StepContext(plan)
    before = context.target.record()
    record = context.controller.reconcile(only={"shift", "roll back"})
    if before and record.generation == before.generation:
        return NOTHING
    return record.outcome or f"{next_action(record).percent}% of the traffic"


def analyse(plan: Plan, decision_file: str) -> str:
    """Analyse the current step until it is decided or the run's time is up; roll back a canary that is shown worse.

    The rollback does not wait for the last step of the DAG: on a cluster the canary would keep its traffic while the
    pods of the steps in between start.

    Args:
        plan: of the run.
        decision_file: receives the decision and its numbers as Markdown.

    Returns:
        advance, wait, roll back, or that nothing was due.

    Raises:
        LooplineError: the endpoint cannot be reached.
    """
    context = StepContext(plan)
    if plan.state == "under way":
        controller = context.controller
        controller.reconcile(plan.seconds_left(controller.now()), only={"analyse", "roll back"})
    decision = context.printer.latest
    text = "\n".join(decision_markdown(decision)) if decision else f"{NOTHING.capitalize()}.\n"
    atomic.write_text(Path(decision_file), text)
    return decision.outcome if decision else NOTHING


def finish(plan: Plan, record_file: str, page_file: str) -> tuple[str, Mapping[str, float]]:
    """Promote the canary if every step passed, and write the record of the release.

    Args:
        plan: of the run.
        record_file: receives the record as JSON.
        page_file: receives the record as Markdown.

    Returns:
        promoted, rolled back, under way, or serves already; and metrics of the release.

    Raises:
        LooplineError: the endpoint cannot be changed.
    """
    context = StepContext(plan)
    if plan.state == "under way":
        record: Record | None = context.controller.reconcile(only={"promote", "roll back"})
    else:
        record = context.target.record() if plan.state != "serves already" else None
    if record is None:
        text = f"# {context.case.spec.name}\n\nVersion {plan.version} serves already.\n"
        atomic.write_text(Path(record_file), json.dumps(None) + "\n")
        atomic.write_text(Path(page_file), text)
        return "serves already", {}
    if record.canary != plan.version:
        raise LooplineError(
            f"{record.endpoint} is being released to version {record.canary} by now, and no longer to {plan.version}: "
            "another run began that release"
        )
    atomic.write_text(Path(record_file), record.model_dump_json(indent=1) + "\n")
    atomic.write_text(Path(page_file), record_markdown(record))
    return record.outcome or "under way", _metrics(record)


def _resolve_version(
    requested: str, champion: str, since: datetime, stable: str, last: Record | None
) -> tuple[str, ReleaseState]:
    """The version to release, and the state of its release.

    The champion may have been rolled back by a run that was killed before it restored the former champion. If that
    release began after the version became champion, it is not made again.
    """
    if last and last.outcome is None and requested == "champion":
        return last.canary, "under way"
    if last and last.canary == champion and last.outcome:
        if last.outcome == "rolled back" and last.began >= since:
            return champion, "rolled back"
        if last.outcome == "promoted" and stable == champion:
            return champion, "promoted"
    if stable == champion and not (last and last.outcome is None):
        return champion, "serves already"
    return champion, "under way"


def _metrics(record: Record) -> dict[str, float]:
    decisions = [event.decision for event in record.events if isinstance(event, Decided)]
    metrics: dict[str, float] = {
        "steps": len(decisions),
        "canary_requests": sum(decision.canary_requests for decision in decisions),
        "stable_requests": sum(decision.stable_requests for decision in decisions),
    }
    for check in decisions[-1].checks if decisions else ():
        if check.estimate is not None:
            metrics[f"{check.name}_worse_by"] = check.estimate
    return metrics

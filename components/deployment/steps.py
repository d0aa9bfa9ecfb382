"""The steps of the release DAG.

What is due they read from the release's record, so they may be run in any order, twice, or side by side: of those who
act on the same generation of the record only one is heard.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.model import Model
from loopline.components.deployment.release import plan as plans
from loopline.components.deployment.release.decision_printer import DecisionPrinter
from loopline.components.deployment.release.markdown import page, section
from loopline.components.deployment.release.plan import Found, Plan
from loopline.components.deployment.release.record import Decided, Record
from loopline.components.deployment.release.transitions import next_action
from loopline.components.deployment.step_context import StepContext
from loopline.components.errors import LooplineError
from loopline.components.io import atomic

NOTHING = "nothing was due"


def render(
    asked: str,
    champion: str,
    since: str,
    wait: str,
    plan: Plan,
    model: str,
    service_file: str,
    policy: EnvironmentPolicy = UNCHANGED,
) -> Plan:
    """Check all that can be checked, and begin the release, or find the one that is under way.

    Args:
        asked: the version, or ``champion`` for whichever that is; then a release that is under way comes first.
        champion: number of the champion.
        since: the ISO moment since which it is champion.
        wait: seconds that the run waits for evidence at most; empty for as long as it takes.
        plan: of the run, without version and outcome.
        model: the champion's package.
        service_file: takes the InferenceService of what is due first.
        policy: what the environment changes of the use case's.

    Returns:
        the plan, complete.

    Raises:
        LooplineError: the release cannot begin, or its object or package would be refused.
    """
    patience, context = plans.seconds(wait), StepContext(plan, DecisionPrinter(), policy)
    target, last = context.target, context.target.record()
    stable = target.traffic_split().stable
    version, found = _chosen(asked, champion, datetime.fromisoformat(since), stable, last)
    service = target.service()
    if found == "under way":

        def check(record: Record) -> None:
            target.rendered(next_action(record), record)
            target.upload_model(version, Model.open(model))

        record = context.controller.begin(version, check)
        due = next_action(record)
        if due.kind not in {"analyse", "nothing"}:
            service = target.rendered(due, record)
    atomic.write_text(Path(service_file), yaml.safe_dump(service, sort_keys=False))
    until = None if patience is None else context.controller.now() + timedelta(seconds=patience)
    return plan.model_copy(update={"version": version, "found": found, "until": until})


def steps_left(plan: Plan) -> list[str]:
    """Percents of the steps that are not decided yet, or the last one: a loop over nothing is asking much."""
    context = StepContext(plan, DecisionPrinter())
    record = context.target.record() if plan.found == "under way" else None
    steps = record.policy.steps if record else context.case.spec.release.steps
    decided = sum(isinstance(event, Decided) for event in record.events) if record else len(steps)
    return [str(percent) for percent in steps[decided:] or steps[-1:]]


def canary(plan: Plan) -> str:
    """Give the canary the traffic of the step that is due; one that does not come up is rolled back at once.

    Returns:
        what was done, in words.

    Raises:
        LooplineError: the endpoint cannot be changed.
    """
    if plan.found != "under way":
        return NOTHING
    context = StepContext(plan, DecisionPrinter())
    before = context.target.record()
    record = context.controller.reconcile(only={"shift", "roll back"})
    if before and record.generation == before.generation:
        return NOTHING
    return record.outcome or f"{next_action(record).percent}% of the traffic"


def analyse(plan: Plan, decision_file: str) -> str:
    """Look at the step under way until it is decided or the run's time is up; what is shown to be worse is rolled back.

    The rollback is not left to the last step of the DAG: on a cluster the canary would keep its traffic while the
    pods of the steps between start.

    Args:
        plan: of the run.
        decision_file: takes the decision and its numbers, in Markdown.

    Returns:
        advance, wait, roll back, or that nothing was due.

    Raises:
        LooplineError: the endpoint cannot be reached.
    """
    printer = DecisionPrinter()
    if plan.found == "under way":
        controller = StepContext(plan, printer).controller
        controller.reconcile(plan.seconds_left(controller.now()), only={"analyse", "roll back"})
    decision = printer.latest
    text = "\n".join(section(decision)) if decision else f"{NOTHING.capitalize()}.\n"
    atomic.write_text(Path(decision_file), text)
    return decision.outcome if decision else NOTHING


def finish(plan: Plan, record_file: str, page_file: str) -> tuple[str, Mapping[str, float]]:
    """Promote if every step passed, and write down how the release stands.

    Args:
        plan: of the run.
        record_file: takes the record, as JSON.
        page_file: takes the same for people, in Markdown.

    Returns:
        promoted, rolled back, under way, or serves already; and numbers of the release.

    Raises:
        LooplineError: the endpoint cannot be changed.
    """
    context = StepContext(plan, DecisionPrinter())
    if plan.found == "under way":
        record: Record | None = context.controller.reconcile(only={"promote", "roll back"})
    else:
        record = context.target.record() if plan.found != "serves already" else None
    if record is None:
        text = f"# {context.case.spec.name}\n\nVersion {plan.version} serves already.\n"
        atomic.write_text(Path(record_file), json.dumps(None) + "\n")
        atomic.write_text(Path(page_file), text)
        return "serves already", {}
    if record.canary != plan.version:
        raise LooplineError(
            f"{record.endpoint} is being released to version {record.canary} by now, and no longer to {plan.version}: "
            "another run began that"
        )
    atomic.write_text(Path(record_file), record.model_dump_json(indent=1) + "\n")
    atomic.write_text(Path(page_file), page(record))
    return record.outcome or "under way", _numbers(record)


def _chosen(asked: str, champion: str, since: datetime, stable: str, last: Record | None) -> tuple[str, Found]:
    """Which version is to be released, and how that stands.

    The champion may be one that was rolled back, by a run that was killed before it gave the title back: that release
    began after the version became champion, and is not made again.
    """
    if last and last.outcome is None and asked == "champion":
        return last.canary, "under way"
    if last and last.canary == champion and last.outcome:
        if last.outcome == "rolled back" and last.began >= since:
            return champion, "rolled back"
        if last.outcome == "promoted" and stable == champion:
            return champion, "promoted"
    if stable == champion and not (last and last.outcome is None):
        return champion, "serves already"
    return champion, "under way"


def _numbers(record: Record) -> dict[str, float]:
    decisions = [event.decision for event in record.events if isinstance(event, Decided)]
    numbers: dict[str, float] = {
        "steps": len(decisions),
        "canary_requests": sum(decision.canary_requests for decision in decisions),
        "stable_requests": sum(decision.stable_requests for decision in decisions),
    }
    for check in decisions[-1].checks if decisions else ():
        if check.estimate is not None:
            numbers[f"{check.name}_worse_by"] = check.estimate
    return numbers

"""Records of a release, made step by step."""

from datetime import timedelta

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.analyse import Decision
from loopline.components.deployment.release import transitions as states
from loopline.components.deployment.release.transitions import next_action
from tests.canary_traffic import BEGIN, CANARY, STABLE, baseline_of

POLICY = ReleasePolicy(steps=(5, 50))
OWNER = "run-1"
MINUTE = timedelta(minutes=1)


def begun(owner=OWNER, canary=CANARY, last=None, now=BEGIN):
    return states.begin(
        "flights", STABLE, canary, "binary_classification", POLICY, baseline_of(POLICY), owner, now, last
    )


def decision(record, outcome):
    step = next_action(record).step
    return Decision(step=step, outcome=outcome, reason="because", time=BEGIN + MINUTE)


def decided(record, outcome):
    return states.decided(record, decision(record, outcome), OWNER, BEGIN + MINUTE)


def applied(record):
    return states.applied(record, next_action(record), OWNER, BEGIN + MINUTE)


def lived(*outcomes):
    """The record after so many steps were decided, with nothing carried out after the last."""
    record = begun()
    for outcome in outcomes:
        record = decided(applied(record), outcome)
    return record


def whole(**more):
    """Every generation of a release that is promoted."""
    records = [begun(**more)]
    while (action := next_action(records[-1])).kind != "nothing":
        records.append(decided(records[-1], "advance") if action.kind == "analyse" else applied(records[-1]))
    return records

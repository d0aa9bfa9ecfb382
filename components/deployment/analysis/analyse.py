"""Decide on one step of a release: advance, wait, or roll back."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.checks import Check, run_checks
from loopline.components.deployment.analysis.evidence import LATE, Evidence, Tally
from loopline.components.deployment.analysis.formatting import sentence
from loopline.components.io.strict import Strict

Outcome = Literal["advance", "wait", "roll back"]
Result = tuple[Outcome, str]  # and the reason
# A version that shows no request although that has less than this probability does not get its share of the traffic.
_NO_CHANCE = 1e-6
# Share of a version's requests that may be dated after the end of the period, since reading the log takes a moment.
_AHEAD = 0.02


class RolloutStep(Strict):
    """A step of a rollout: ``percent`` of the traffic for the canary since ``started``. Steps are numbered from 1."""

    number: int
    percent: int
    started: AwareDatetime


class Decision(Strict):
    """The decision on a step, with its reason and numbers.

    Attributes:
        reason: one sentence.
        checks: every check with its numbers; empty if there was no evidence.
        canary_requests: requests of the canary during the step.
        stable_requests: requests of the stable version during the step.
    """

    step: RolloutStep
    outcome: Outcome
    reason: str
    time: AwareDatetime
    checks: tuple[Check, ...] = ()
    canary_requests: int = 0
    stable_requests: int = 0


def analyse(
    policy: ReleasePolicy,
    baseline: Baseline,
    step: RolloutStep,
    evidence: Evidence | None,
    now: datetime,
    failure: str | None = None,
    blind_since: datetime | None = None,
) -> Decision:
    """Decide on a step from all evidence since it began; this may be done as often as one likes.

    A canary that is shown to be worse is rolled back at once, even below the least number of requests, since the tests
    are valid at any number. If evidence is missing, the decision is to wait, and to roll back after the time limit.
    Without evidence a step never advances.

    Args:
        policy: bounds and limits.
        baseline: taken from the stable version's requests before the release.
        step: to decide on.
        evidence: counts of both versions since the step began; None if no metrics could be read.
        now: the current time.
        failure: why the canary cannot serve at all, such as a pod that restarts; None if it can.
        blind_since: since when no metrics could be read; None for since the step began.
    """
    failed: Result | None = ("roll back", f"the canary does not serve: {failure}") if failure else None
    if evidence is None:
        outcome, reason = failed or _without_metrics(now - (blind_since or step.started))
        return Decision(step=step, outcome=outcome, reason=reason, time=now)
    checks = run_checks(policy, baseline, evidence)
    worse = failed or _worse(step, evidence, checks, now)
    outcome, reason = worse or _progress(policy, step, evidence, checks, now)
    return Decision(
        step=step,
        outcome=outcome,
        reason=reason,
        time=now,
        checks=checks,
        canary_requests=evidence.canary.requests,
        stable_requests=evidence.stable.requests,
    )


def _without_metrics(lasting: timedelta) -> Result:
    reason = f"no metrics could be read for {lasting / timedelta(minutes=1):.0f} minutes"
    return ("roll back" if lasting >= LATE else "wait"), reason


def _worse(step: RolloutStep, evidence: Evidence, checks: tuple[Check, ...], now: datetime) -> Result | None:
    """Roll back if the evidence shows that the canary is worse or does not answer."""
    failed = [sentence(check) for check in checks if check.verdict == "worse"]
    if failed:
        return "roll back", f"the canary is worse than allowed: {'; '.join(failed)}"
    missed = _missed(evidence.canary, evidence.stable, now - step.started)
    if _implausible(missed, step.percent / 100):
        stopped = "has stopped answering" if evidence.canary.requests else "answered nothing"
        return "roll back", (
            f"the canary {stopped} while the stable answered {missed:,} requests: "
            "it gets no traffic, does not log, or its clock is behind"
        )
    return None


def _progress(
    policy: ReleasePolicy, step: RolloutStep, evidence: Evidence, checks: tuple[Check, ...], now: datetime
) -> Result:
    """Advance or wait, where the evidence shows no harm."""
    over, requests = now - step.started >= policy.time_limit, evidence.canary.requests
    missing = _missing_evidence(policy, step, evidence, now)
    if missing:
        return ("roll back", f"{missing}, at the end of the time limit") if over else ("wait", missing)
    undecided = ", ".join(check.name for check in checks if check.verdict == "open")
    if not undecided:
        judged = ", ".join(check.name for check in checks if check.verdict == "fine")
        return "advance", f"not worse than allowed in {judged}, shown on {requests:,} requests of the canary"
    if over or requests >= policy.requests[1]:
        end = "the time limit" if over else f"the most requests, {policy.requests[1]:,}"
        return "advance", f"no harm was shown until {end}, though {undecided} could not be shown to be fine"
    return "wait", f"{undecided} cannot be decided yet from {requests:,} requests of the canary"


def _missing_evidence(policy: ReleasePolicy, step: RolloutStep, evidence: Evidence, now: datetime) -> str | None:
    """What is missing before a step may advance; None if nothing is."""
    canary, stable, least = evidence.canary, evidence.stable, policy.requests[0]
    for name, side in (("canary", canary), ("stable", stable)):
        if side.ahead > _AHEAD * (side.ahead + side.requests):
            return f"the clock of the {name} is ahead: {side.ahead:,} of its requests are dated in the future"
    if _implausible(_missed(stable, canary, now - step.started), 1 - step.percent / 100):
        return "the stable does not answer, so there is nothing to compare with and nothing to go back to"
    if canary.requests < least:
        return f"{canary.requests:,} requests of the canary are fewer than the least, {least:,}"
    if not stable.requests:
        return "the stable answered nothing yet, so there is nothing to compare with"
    return None


def _missed(side: Tally, other: Tally, lasting: timedelta) -> int:
    """Requests of the other version since the last one of this version."""
    if side.requests:
        return side.others_since
    return other.requests if lasting >= LATE else 0


def _implausible(missed: int, share: float) -> bool:
    """Whether a version that gets its share would hardly ever miss so many requests in a row."""
    return bool((1 - share) ** missed < _NO_CHANCE)

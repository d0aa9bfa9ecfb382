"""Decide what becomes of a canary at one step: go on, wait, or roll back."""

from datetime import datetime
from typing import Literal

from components.contract.release import ReleasePolicy
from components.contract.strict import Strict
from components.deployment.checks import Check, hold
from components.deployment.evidence import Evidence, Tally
from components.deployment.reference import Reference
from components.deployment.wording import in_words

Outcome = Literal["advance", "wait", "roll back"]
# A side that gets none of so much traffic that this would happen once in a million steps does not get its share.
_NO_CHANCE = 1e-6
# Requests dated in the future that are put down to the moment it takes to look, as a share of a side's.
_AHEAD = 0.02


class Step(Strict):
    """A step that is under way: ``percent`` of the traffic for the canary since ``started``; steps count from 1."""

    number: int
    percent: int
    started: datetime


class Decision(Strict):
    """What was decided at a step, why, and on what numbers.

    Attributes:
        reason: one sentence.
        checks: every check with its numbers; none where there was nothing to hold.
        canary_requests: requests of the canary in the step. ``stable_requests``: likewise.
    """

    step: Step
    outcome: Outcome
    reason: str
    time: datetime
    checks: tuple[Check, ...] = ()
    canary_requests: int = 0
    stable_requests: int = 0


def analyse(
    policy: ReleasePolicy,
    reference: Reference,
    step: Step,
    evidence: Evidence | None,
    now: datetime,
    failure: str | None = None,
) -> Decision:
    """Decide on a step from all that was seen in it so far; it may be asked after every request.

    What is shown against the canary rolls it back at once, also below the least requests: the tests hold at every
    count. Where evidence is missing, one waits until the time limit and then rolls back, never advances.

    Args:
        policy: bounds and limits.
        reference: what the stable showed before the release.
        step: the step, and since when the canary has its share.
        evidence: counts of both sides from then on; None if no metrics could be read.
        now: the present moment.
        failure: why the canary cannot serve at all, such as a pod that restarts; None if it can.
    """
    seen = (
        {}
        if evidence is None
        else {"canary_requests": evidence.canary.requests, "stable_requests": evidence.stable.requests}
    )
    checks = () if evidence is None else hold(policy, reference, evidence)
    outcome, reason = _against(step, evidence, checks, failure) or _progress(policy, step, evidence, checks, now)
    return Decision(step=step, outcome=outcome, reason=reason, time=now, checks=checks, **seen)


def _against(
    step: Step, evidence: Evidence | None, checks: tuple[Check, ...], failure: str | None
) -> tuple[Outcome, str] | None:
    """What speaks against the canary, if anything does."""
    if failure:
        return "roll back", f"the canary does not serve: {failure}"
    worse = [in_words(check) for check in checks if check.verdict == "worse"]
    if worse:
        return "roll back", f"the canary is worse than allowed: {'; '.join(worse)}"
    if evidence and _silent(evidence.canary, evidence.stable, step.percent / 100):
        since = "answered nothing" if not evidence.canary.requests else "has stopped answering"
        return "roll back", (
            f"the canary {since} while the stable answered {_unanswered(evidence.canary, evidence.stable):,} requests: "
            "it gets no traffic, does not log, or its clock is behind"
        )
    return None


def _progress(
    policy: ReleasePolicy, step: Step, evidence: Evidence | None, checks: tuple[Check, ...], now: datetime
) -> tuple[Outcome, str]:
    """How far a step is against which nothing speaks."""
    over = now - step.started >= policy.time_limit
    lacking = _lacking(policy, step, evidence)
    if lacking:
        return ("roll back", f"{lacking} at the end of the time limit") if over else ("wait", lacking)
    requests = evidence.canary.requests if evidence else 0
    still = [check.name for check in checks if check.verdict == "open"]
    if not still:
        judged = [check.name for check in checks if check.verdict == "fine"]
        return "advance", f"not worse than allowed in {', '.join(judged)}, shown on {requests:,} requests of the canary"
    if over or requests >= policy.requests[1]:
        end = "the time limit" if over else f"the most requests, {policy.requests[1]:,}"
        return "advance", f"no harm was shown until {end}, though {', '.join(still)} could not be shown to be fine"
    return "wait", f"{', '.join(still)} cannot be told yet from {requests:,} requests of the canary"


def _lacking(policy: ReleasePolicy, step: Step, evidence: Evidence | None) -> str | None:
    """What keeps the evidence from being judged in the canary's favour."""
    if evidence is None or not (evidence.canary.requests or evidence.stable.requests):
        return "no metrics of either side could be read"
    for name, side in (("canary", evidence.canary), ("stable", evidence.stable)):
        if side.ahead > _AHEAD * (side.ahead + side.requests):
            return f"the clock of the {name} is ahead: {side.ahead:,} of its requests are dated in the future"
    if _silent(evidence.stable, evidence.canary, 1 - step.percent / 100):
        return "the stable does not answer, so there is nothing to compare with and nothing to go back to"
    if evidence.canary.requests < policy.requests[0]:
        return f"{evidence.canary.requests:,} requests of the canary are fewer than the least, {policy.requests[0]:,}"
    return None


def _silent(side: Tally, other: Tally, share: float) -> bool:
    """Whether so much traffic went past a side that it cannot be getting its share."""
    return bool((1 - share) ** _unanswered(side, other) < _NO_CHANCE)


def _unanswered(side: Tally, other: Tally) -> int:
    return side.others_since if side.requests else other.requests

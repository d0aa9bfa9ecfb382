"""Decide what becomes of a canary at one step: go on, wait, or roll back."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.checks import Check, run_checks
from loopline.components.deployment.analysis.evidence import LATE, Evidence, Tally
from loopline.components.deployment.analysis.formatting import in_words
from loopline.components.io.strict import Strict

Outcome = Literal["advance", "wait", "roll back"]
Ruling = tuple[Outcome, str]  # and the reason
# A side that gets none of so much traffic that this would happen once in a million steps does not get its share.
_NO_CHANCE = 1e-6
# Requests dated in the future that are put down to the moment it takes to look, as a share of a side's.
_AHEAD = 0.02


class RolloutStep(Strict):
    """A step that is under way: ``percent`` of the traffic for the canary since ``started``; steps count from 1."""

    number: int
    percent: int
    started: AwareDatetime


class Decision(Strict):
    """What was decided at a step, why, and on what numbers.

    Attributes:
        reason: one sentence.
        checks: every check with its numbers; none where there was nothing to hold.
        canary_requests: requests of the canary in the step. ``stable_requests``: likewise.
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
    """Decide on a step from all that was seen in it so far; it may be asked after every request.

    What is shown against the canary rolls it back at once, also below the least requests: the tests hold at every
    count. Where evidence is lacking, it waits until the time limit and then rolls back; it never advances unseen.

    Args:
        policy: bounds and limits.
        baseline: what the stable showed before the release.
        step: the step, and since when the canary has its share.
        evidence: counts of both sides from then on; None if no metrics could be read.
        now: the present moment.
        failure: why the canary cannot serve at all, such as a pod that restarts; None if it can.
        blind_since: since when no metrics could be read, if they cannot; the beginning of the step if not known.
    """
    failed: Ruling | None = ("roll back", f"the canary does not serve: {failure}") if failure else None
    if evidence is None:
        outcome, reason = failed or _unseen(now - (blind_since or step.started))
        return Decision(step=step, outcome=outcome, reason=reason, time=now)
    checks = run_checks(policy, baseline, evidence)
    against = failed or _against(step, evidence, checks, now)
    outcome, reason = against or _progress(policy, step, evidence, checks, now)
    return Decision(
        step=step,
        outcome=outcome,
        reason=reason,
        time=now,
        checks=checks,
        canary_requests=evidence.canary.requests,
        stable_requests=evidence.stable.requests,
    )


def _unseen(lasting: timedelta) -> Ruling:
    reason = f"no metrics could be read for {lasting / timedelta(minutes=1):.0f} minutes"
    return ("roll back" if lasting >= LATE else "wait"), reason


def _against(step: RolloutStep, evidence: Evidence, checks: tuple[Check, ...], now: datetime) -> Ruling | None:
    """What the evidence shows against the canary, if anything."""
    worse = [in_words(check) for check in checks if check.verdict == "worse"]
    if worse:
        return "roll back", f"the canary is worse than allowed: {'; '.join(worse)}"
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
) -> Ruling:
    """How far a step is that nothing speaks against."""
    over, requests = now - step.started >= policy.time_limit, evidence.canary.requests
    lacking = _lacking(policy, step, evidence, now)
    if lacking:
        return ("roll back", f"{lacking}, at the end of the time limit") if over else ("wait", lacking)
    still = ", ".join(check.name for check in checks if check.verdict == "open")
    if not still:
        judged = ", ".join(check.name for check in checks if check.verdict == "fine")
        return "advance", f"not worse than allowed in {judged}, shown on {requests:,} requests of the canary"
    if over or requests >= policy.requests[1]:
        end = "the time limit" if over else f"the most requests, {policy.requests[1]:,}"
        return "advance", f"no harm was shown until {end}, though {still} could not be shown to be fine"
    return "wait", f"{still} cannot be told yet from {requests:,} requests of the canary"


def _lacking(policy: ReleasePolicy, step: RolloutStep, evidence: Evidence, now: datetime) -> str | None:
    """What keeps the evidence from speaking for the canary."""
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
    """Requests that went past a side which shows none of its own."""
    if side.requests:
        return side.others_since
    return other.requests if lasting >= LATE else 0


def _implausible(missed: int, share: float) -> bool:
    """Whether that many requests do not go past a side that gets its share."""
    return bool((1 - share) ** missed < _NO_CHANCE)

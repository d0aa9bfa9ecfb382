"""A decision for every state of the evidence: shown, not yet shown, and none at all."""

import time
from datetime import timedelta

import pyarrow as pa
import pytest

from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis.analyse import analyse
from loopline.components.deployment.analysis.evidence import Evidence, Tally, from_rows
from tests.canary_traffic import BAD, BEGIN, CANARY, GOOD, STABLE, Behaviour, baseline_of, evidence_of, rows, step

POLICY = ReleasePolicy(requests=(500, 8_000))
HOUR = timedelta(hours=1)
OVER = BEGIN + POLICY.time_limit


@pytest.fixture(scope="module")
def baseline():
    return baseline_of(POLICY)


@pytest.fixture
def decide(baseline):
    """Decide on the first step from the rows of both sides, or from counts of them."""

    def _decide(canary=None, stable=None, *, now=BEGIN + HOUR, evidence=None, known=baseline, **more):
        if canary is not None:
            table = pa.concat_tables([canary, rows(GOOD, STABLE, 9_500, 6) if stable is None else stable])
            evidence = evidence_of(table, known)
        return analyse(POLICY, known, step(1, POLICY), evidence, now, **more)

    return _decide


def canary(behaviour=GOOD, requests=500, **more):
    return rows(behaviour, CANARY, requests, 5, **more)


def counts(canary, stable):
    return Evidence(start=BEGIN, end=BEGIN + HOUR, canary=canary, stable=stable)


def verdicts(decision):
    return {check.name: check.verdict for check in decision.checks}


def test_a_good_canary_advances_once_that_is_shown(decide):
    decision = decide(canary(requests=7_000), rows(GOOD, STABLE, 133_000, 6))
    assert decision.outcome == "advance"
    assert "not worse than allowed in errors, latency, scores, quality, shown on 7,000 requests" in decision.reason
    assert set(verdicts(decision).values()) == {"fine"}
    assert decision.canary_requests == 7_000
    for check in decision.checks:
        assert check.low <= check.estimate <= check.high < check.passes_below


@pytest.mark.parametrize(
    ("what", "check", "says"),
    [
        ("twice the errors", "errors", "failed requests 4"),
        ("1.5 times slower", "latency", "slow requests 1"),
        ("miscalibrated by 0.1", "scores", "scores above the cut where they differ most"),
    ],
)
def test_a_bad_canary_is_rolled_back_for_what_is_bad(decide, what, check, says):
    decision = decide(canary(BAD[what], 6_000), rows(GOOD, STABLE, 114_000, 6))
    assert decision.outcome == "roll back"
    assert verdicts(decision)[check] == "worse"
    assert f"the canary is worse than allowed: {says}" in decision.reason
    assert "is allowed" in decision.reason


def test_a_canary_that_only_fails_is_rolled_back_below_the_least_requests(decide):
    decision = decide(canary(Behaviour(errors=1.0), 40))
    assert decision.outcome == "roll back"
    assert "failed requests 100.00%" in decision.reason


def test_a_canary_that_is_better_in_everything_advances(decide):
    better = Behaviour(errors=0.0, slowdown=0.5, noise=0.0)
    assert decide(canary(better, 7_000), rows(GOOD, STABLE, 133_000, 6)).outcome == "advance"


def test_what_cannot_be_told_yet_waits(decide):
    decision = decide(canary(requests=600))
    assert decision.outcome == "wait"
    assert "errors" in decision.reason
    assert "cannot be decided yet from 600 requests" in decision.reason


def test_at_the_most_requests_a_canary_advances_without_proof_and_that_is_said(decide):
    decision = decide(canary(Behaviour(errors=0.026), 8_000))
    assert decision.outcome == "advance"
    assert decision.reason.startswith("no harm was shown until the most requests, 8,000, though errors")


def test_at_the_time_limit_a_canary_with_the_least_requests_advances(decide):
    decision = decide(canary(requests=600), now=OVER)
    assert decision.outcome == "advance"
    assert "no harm was shown until the time limit, though errors" in decision.reason


def test_too_few_requests_wait_and_are_rolled_back_at_the_time_limit(decide):
    few = decide(canary(requests=100))
    assert (few.outcome, few.reason) == ("wait", "100 requests of the canary are fewer than the least, 500")
    late = decide(canary(requests=100), now=OVER)
    assert late.outcome == "roll back"
    assert late.reason.endswith("fewer than the least, 500, at the end of the time limit")


def test_one_request_more_than_too_few_is_enough(decide):
    assert "fewer" in decide(canary(requests=499)).reason
    assert "fewer" not in decide(canary(requests=500)).reason


def test_no_traffic_at_all_waits_for_the_time_limit(decide):
    nothing = counts(Tally(), Tally())
    assert decide(evidence=nothing).outcome == "wait"
    assert decide(evidence=nothing, now=OVER).outcome == "roll back"


def test_missing_metrics_are_waited_for_five_minutes(decide):
    assert decide(now=BEGIN + timedelta(minutes=4)).outcome == "wait"
    late = decide(now=BEGIN + timedelta(minutes=5))
    assert (late.outcome, late.reason) == ("roll back", "no metrics could be read for 5 minutes")
    again = decide(now=BEGIN + HOUR, blind_since=BEGIN + HOUR - timedelta(minutes=2))
    assert (again.outcome, again.reason) == ("wait", "no metrics could be read for 2 minutes")


def test_a_canary_that_does_not_serve_is_rolled_back_whatever_was_seen(decide):
    for seen in (None, canary(requests=7_000)):
        decision = decide(seen, failure="its pod restarts")
        assert (decision.outcome, decision.reason) == ("roll back", "the canary does not serve: its pod restarts")


def test_a_canary_that_answers_nothing_is_rolled_back(decide):
    nothing = canary(requests=0)
    early = decide(nothing, rows(GOOD, STABLE, 9_000, 6), now=BEGIN + timedelta(minutes=4))
    assert early.outcome == "wait"  # logs may be written so late
    decision = decide(nothing, rows(GOOD, STABLE, 9_000, 6))
    assert decision.outcome == "roll back"
    assert "the canary answered nothing while the stable answered 9,000 requests" in decision.reason
    assert decide(nothing, rows(GOOD, STABLE, 200, 6)).outcome == "wait"  # may be chance


def test_a_canary_that_stops_answering_is_rolled_back(decide):
    decision = decide(canary(lasting=1_200))
    assert decision.outcome == "roll back"
    assert "the canary has stopped answering while the stable answered" in decision.reason


def test_a_clock_that_is_behind_looks_like_silence(decide):
    decision = decide(canary(begin=BEGIN - 2 * HOUR))
    assert decision.outcome == "roll back"
    assert "its clock is behind" in decision.reason


def test_a_clock_that_is_ahead_is_waited_for(decide):
    decision = decide(canary(requests=3_000, begin=BEGIN + HOUR / 2))
    assert decision.outcome == "wait"
    assert "the clock of the canary is ahead: 1,500 of its requests are dated in the future" in decision.reason
    assert decide(canary(requests=3_000, begin=BEGIN + HOUR / 2), now=OVER).outcome == "roll back"
    bad = decide(canary(Behaviour(errors=0.5), 3_000, begin=BEGIN + HOUR / 2))
    assert "worse than allowed" in bad.reason  # harm is harm


def test_without_the_stable_nothing_advances(decide):
    silent = decide(canary(requests=3_000), rows(GOOD, STABLE, 0, 6))
    assert silent.outcome == "wait"
    assert "the stable does not answer" in silent.reason
    early = decide(canary(requests=3_000), rows(GOOD, STABLE, 0, 6), now=BEGIN + timedelta(minutes=1))
    assert (early.outcome, "nothing yet" in early.reason) == ("wait", True)
    assert decide(canary(requests=3_000), rows(GOOD, STABLE, 0, 6), now=OVER).outcome == "roll back"


def test_without_labels_quality_is_not_waited_for(decide):
    unlabelled = canary(requests=7_000).drop_columns(["label"]), rows(GOOD, STABLE, 133_000, 6).drop_columns(["label"])
    unlabelled = [table.append_column("label", pa.nulls(len(table), pa.float64())) for table in unlabelled]
    decision = decide(*unlabelled)
    assert decision.outcome == "advance"
    assert verdicts(decision)["quality"] == "unjudged"
    assert "quality" not in decision.reason


def test_without_a_reference_of_latency_and_scores_errors_decide(decide, baseline):
    bare = baseline.model_copy(update={"latency": None, "scores": None, "quality": None})
    decision = decide(canary(requests=7_000), rows(GOOD, STABLE, 133_000, 6), known=bare)
    assert decision.outcome == "advance"
    assert verdicts(decision) == {"errors": "fine", "latency": "unjudged", "scores": "unjudged", "quality": "unjudged"}


def test_scores_that_collapse_to_their_mean_are_found(decide):
    """The mean is the same; the distribution is not."""
    table = canary(requests=1_500)
    flat = table.set_column(4, "score", pa.array([0.22] * len(table)))
    decision = decide(flat)
    assert decision.outcome == "roll back"
    assert verdicts(decision)["scores"] == "worse"


def test_labels_alone_show_a_miscalibrated_canary(decide):
    """By its quality, where scores may differ as they like."""
    policy = POLICY.model_copy(update={"scores": POLICY.scores.model_copy(update={"worse_by": 0.9})})
    known = baseline_of(policy)
    table = pa.concat_tables([canary(Behaviour(shift=0.1), 25_000), rows(GOOD, STABLE, 475_000, 6)])
    decision = analyse(policy, known, step(1, policy), evidence_of(table, known), BEGIN + HOUR)
    assert decision.outcome == "roll back"
    assert "mean loss" in decision.reason


def test_a_hundred_thousand_requests_take_less_than_50_ms():
    policy = ReleasePolicy()
    known = baseline_of(policy)
    table = pa.concat_tables([rows(GOOD, CANARY, 5_000, 5), rows(GOOD, STABLE, 95_000, 6)]).combine_chunks()
    period = Window(BEGIN, BEGIN + HOUR)
    seconds = []
    for _ in range(10):
        begun = time.process_time()
        evidence = from_rows(table, known, "binary_classification", period, CANARY, STABLE)
        analyse(policy, known, step(1, policy), evidence, BEGIN + HOUR)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.05

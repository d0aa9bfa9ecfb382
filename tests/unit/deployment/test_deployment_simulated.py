"""Whole releases, simulated: a good canary is hardly ever rolled back however often one looks, a bad one soon."""

import numpy as np
import pytest

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.confidence import Shares, difference
from tests.canary_traffic import BAD, GOOD, Behaviour, Side, alarms, at_its_bounds, baseline_of, peek, rolled_back

RELEASES, BATCH = 200, 200
POLICY = ReleasePolicy()


@pytest.fixture(scope="module")
def baseline():
    return baseline_of(POLICY)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("canary", ["a twin of the stable", "at its bounds"])
def test_a_good_canary_is_rolled_back_in_at_most_5_percent_of_releases(baseline, canary, seed):
    """With a look after every two hundred requests of it, up to the most requests of every step."""
    side = at_its_bounds(POLICY, baseline) if canary == "at its bounds" else Side(GOOD, baseline)
    assert rolled_back(alarms(POLICY, baseline, side, RELEASES, BATCH, seed)) <= POLICY.false_rollback


def test_a_tide_that_lifts_both_sides_rolls_nothing_back():
    """Errors come and go between 0 and 30 %, by the hour and in bursts, for both sides alike."""
    random, looks = np.random.default_rng(4), np.arange(1, 101)
    hours = 0.04 * (1 + np.sin(looks / 8 + random.uniform(0, 6, (RELEASES, 1))))
    rate = np.where(random.random((RELEASES, 100)) < 0.03, 0.3, hours)
    guess = np.array(0.02)
    canary = Shares(np.cumsum(random.binomial(100, rate), axis=1) * 1.0, looks * 100.0 + 0 * rate, guess, 20)
    stable = Shares(np.cumsum(random.binomial(1_900, rate), axis=1) * 1.0, looks * 1_900.0 + 0 * rate, guess, 200)
    low, _ = difference(canary, stable, POLICY.false_rollback / 12)
    assert (low > POLICY.errors.worse_by).any(axis=1).mean() <= POLICY.false_rollback / 12


def test_a_reference_that_is_far_off_costs_speed_and_no_more():
    """Taken in an hour in which the stable failed five times as often and was slow."""
    from tests.canary_traffic import STABLE, baseline_from_rows, rows

    odd = rows(Behaviour(errors=0.1, slowdown=1.4, shift=0.05), STABLE, 2_000, seed=4)
    baseline = baseline_from_rows(odd, POLICY, "binary_classification", STABLE)
    assert rolled_back(alarms(POLICY, baseline, Side(GOOD, baseline), RELEASES, BATCH, 5)) <= POLICY.false_rollback
    bad = alarms(POLICY, baseline, Side(BAD["twice the errors"], baseline), 60, BATCH, 6)
    assert np.mean(bad["errors"][:, 0] <= 8_000) >= 0.9


@pytest.mark.parametrize(
    ("what", "check", "within"),
    [
        ("twice the errors", "errors", 7_500),
        ("1.5 times slower", "latency", 800),
        ("miscalibrated by 0.1", "scores", 1_000),
    ],
)
def test_a_bad_canary_is_caught_at_its_first_step_within_so_many_of_its_requests(baseline, what, check, within):
    """In 19 of 20 releases; at 5 % of the traffic, and before any label is known."""
    found = alarms(POLICY, baseline, Side(BAD[what], baseline), 100, BATCH, 7)
    assert np.mean(found[check][:, 0] <= within) >= 0.95


def test_labels_alone_catch_a_miscalibrated_canary(baseline):
    policy = POLICY.model_copy(update={"requests": (500, 40_000)})
    found = alarms(policy, baseline, Side(BAD["miscalibrated by 0.1"], baseline), 50, 1_000, 7)
    assert np.mean(found["quality"][:, 0] <= 36_000) >= 0.9


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("number", [1, 3])
def test_the_analysis_decides_as_the_simulation_does(baseline, what, number):
    side = Side(BAD[what], baseline)
    found = alarms(POLICY, baseline, side, 1, 500, 8)
    decision = peek(POLICY, baseline, number, side, 8, 500)
    assert decision.outcome == "roll back"
    assert decision.canary_requests == min(at[0, number - 1] for at in found.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_good_canary_goes_through_every_step(baseline, seed):
    for number in range(1, len(POLICY.steps) + 1):
        decision = peek(POLICY, baseline, number, Side(GOOD, baseline), 20 + seed, 1_000)
        assert decision.outcome == "advance"
        assert decision.canary_requests <= POLICY.requests[1]

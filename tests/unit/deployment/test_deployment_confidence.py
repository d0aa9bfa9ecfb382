"""The interval of a difference: what it promises is checked exactly where that can be counted out."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.deployment.analysis.confidence import Means, Shares, difference


def shares(hits, total, guess=0.02, weight=20.0):
    return Shares(np.asarray(hits, float), np.asarray(total, float), np.asarray(guess, float), weight)


def means(values, guess=0.5):
    values = np.asarray(values, float)
    return Means(np.asarray(float(len(values))), values.sum(), np.square(values - guess).sum())


counts = st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize("share", [0.003, 0.2, 0.5, 0.97])
@pytest.mark.parametrize(("guess", "weight"), [(0.0, 20.0), (0.02, 200.0), (0.9, 50.0)])
def test_evidence_against_the_true_share_is_one_on_average_whatever_the_guess(share, guess, weight):
    total = 40
    hits = np.arange(total + 1)
    probability = [math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in hits]
    evidence = np.exp(shares(hits, total, guess, weight).evidence(np.full(total + 1, share)))
    assert probability @ evidence == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("guess", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.1, 0.4), (0.0, 0.9)])
def test_evidence_against_the_true_mean_is_at_most_one_on_average_whatever_the_guess(guess, values):
    """Over all sequences of eight values, each of two with probability 0.3 and 0.7."""
    true = 0.3 * values[0] + 0.7 * values[1]
    average = 0.0
    for sequence in product((0, 1), repeat=8):
        probability = 0.7 ** sum(sequence) * 0.3 ** (8 - sum(sequence))
        seen = means([values[which] for which in sequence], guess)
        average += probability * math.exp(float(seen.evidence(np.asarray(true))))
    assert average <= 1


@settings(max_examples=30, deadline=None)
@given(counts, counts, st.floats(0, 1), st.sampled_from([0.2, 0.01, 1e-4]))
def test_the_interval_contains_the_estimate_and_narrows_with_alpha(canary, stable, guess, alpha):
    sides = shares(*canary, guess), shares(*stable, guess, 200.0)
    low, high = difference(*sides, alpha=alpha)
    estimate = canary[0] / canary[1] - stable[0] / stable[1]
    assert -1 <= low <= estimate <= high <= 1
    surer = difference(*sides, alpha=alpha / 10)
    assert surer[0] <= low
    assert surer[1] >= high


@settings(max_examples=30, deadline=None)
@given(counts, counts)
def test_the_interval_mirrors_when_the_sides_are_exchanged(canary, stable):
    low, high = difference(shares(*canary), shares(*stable), 0.01)
    mirrored = difference(shares(*stable), shares(*canary), 0.01)
    assert low == pytest.approx(-mirrored[1], abs=1e-3)
    assert high == pytest.approx(-mirrored[0], abs=1e-3)


@pytest.mark.parametrize(("canary", "stable"), [((40, 1000), (400, 19_000)), ((0, 50), (3, 900)), ((9, 9), (0, 500))])
def test_the_interval_is_that_of_a_search_over_all_pairs_of_shares(canary, stable):
    one, other, alpha = shares(*canary), shares(*stable), 0.004
    pairs = np.linspace(0, 1, 3_001)
    possible = np.add.outer(one.evidence(pairs), other.evidence(pairs)) < -math.log(alpha)
    apart = np.subtract.outer(pairs, pairs)[possible]
    low, high = difference(one, other, alpha)
    assert low == pytest.approx(apart.min(), abs=7e-4)
    assert high == pytest.approx(apart.max(), abs=7e-4)


def test_the_interval_of_means_is_that_of_a_search_over_all_pairs():
    random = np.random.default_rng(3)
    one, other = means(random.beta(2, 5, 300), 0.3), means(random.beta(2, 6, 2_000), 0.3)
    pairs = np.linspace(0, 1, 2_001)
    possible = np.add.outer(one.evidence(pairs), other.evidence(pairs)) < -math.log(0.01)
    apart = np.subtract.outer(pairs, pairs)[possible]
    low, high = difference(one, other, 0.01)
    assert low == pytest.approx(apart.min(), abs=1.1e-3)
    assert high == pytest.approx(apart.max(), abs=1.1e-3)


def test_nothing_seen_says_nothing():
    low, high = difference(shares(0, 0), shares(0, 0), 0.01)
    assert (low, high) == (-1, 1)
    low, high = difference(means([]), means([]), 0.01)
    assert (low, high) == (-1, 1)


def test_comparisons_beside_each_other_do_not_touch():
    together = difference(shares([4, 80, 0], [100, 100, 0]), shares([1, 90, 5], [900, 900, 900]), 0.01)
    for lane, (canary, stable) in enumerate([((4, 100), (1, 900)), ((80, 100), (90, 900)), ((0, 0), (5, 900))]):
        alone = difference(shares(*canary), shares(*stable), 0.01)
        assert [end[lane] for end in together] == pytest.approx([float(end) for end in alone])


def test_means_adapt_to_the_variance():
    """Losses that hardly vary are told apart sooner than shares of the same means could be."""
    random = np.random.default_rng(5)
    canary, stable = random.normal(0.3, 0.05, 2_000).clip(0, 1), random.normal(0.28, 0.05, 8_000).clip(0, 1)
    low, _ = difference(means(canary, 0.28), means(stable, 0.28), 0.01)
    as_shares, _ = difference(shares(canary.sum(), 2_000, 0.28), shares(stable.sum(), 8_000, 0.28), 0.01)
    assert low > 0.005
    assert as_shares < 0


def test_no_look_of_any_misses_the_difference_more_often_than_promised():
    """200 releases of 80 looks each at alpha 0.2: a fixed interval that is looked at so often misses in most."""
    random, alpha = np.random.default_rng(11), 0.2
    canary = np.cumsum(random.binomial(50, 0.05, (200, 80)), axis=1)
    stable = np.cumsum(random.binomial(150, 0.03, (200, 80)), axis=1)
    looks = np.arange(1.0, 81)
    low, high = difference(shares(canary, 50 * looks + 0 * canary), shares(stable, 150 * looks + 0 * stable), alpha)
    missed = ((low > 0.02) | (high < 0.02)).any(axis=1)
    assert missed.mean() <= alpha
    estimate = canary / (50 * looks) - stable / (150 * looks)
    error = np.sqrt(0.05 * 0.95 / (50 * looks) + 0.03 * 0.97 / (150 * looks))
    assert (np.abs(estimate - 0.02) > 1.28 * error).any(axis=1).mean() > 0.5

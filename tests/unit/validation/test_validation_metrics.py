"""Each metric equals scikit-learn's, plain and weighted, on whatever rows come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from loopline.components.errors import LooplineError
from loopline.components.validation.curves import POINTS, curves
from loopline.components.validation.metrics import calibration, calibration_error, measure
from loopline.components.validation.weighted_metrics import weighted_metric

PEERS = {
    "auc": peer.roc_auc_score,
    "average_precision": peer.average_precision_score,
    "brier": lambda y, p, sample_weight: peer.brier_score_loss(y, p, sample_weight=sample_weight),
    "log_loss": lambda y, p, sample_weight: peer.log_loss(y, p.astype(np.float32), sample_weight=sample_weight),
    "rmse": peer.root_mean_squared_error,
    "mae": peer.mean_absolute_error,
    "r2": peer.r2_score,
}


@st.composite
def judged_rows(draw):
    """Labels of both classes, scores with many ties, and integer weights that leave some of each class."""
    rows = draw(st.integers(4, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    label = (random.random(rows) < 0.4).astype(float)
    label[:2] = 0, 1
    levels = draw(st.sampled_from([1, 3, 10, 10_000]))
    score = (random.integers(0, levels + 1, rows) / levels).astype(np.float32).astype(float)
    weight = random.integers(0, 4, rows).astype(float)
    weight[:2] = 1
    return label, score, weight


@settings(max_examples=30, deadline=None)
@given(judged_rows())
@pytest.mark.parametrize("metric", PEERS)
def test_metric_equals_scikit_learn_under_weights(metric, rows):
    label, score, weight = rows
    if metric in ("rmse", "mae", "r2"):
        label = label * 7 + score
    ours = weighted_metric(metric, label, score)
    assert ours(np.ones(len(label))) == pytest.approx(PEERS[metric](label, score, sample_weight=None), rel=1e-6)
    assert ours(weight) == pytest.approx(PEERS[metric](label, score, sample_weight=weight), rel=1e-6, abs=1e-9)


def test_calibration_error_by_hand():
    # Bins of width 1/15: 0.10 and 0.12 share one (mean 0.11, seen 0.5), 0.90 is alone, 0.96 and 1.0 share the last.
    label, score = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([0.10, 0.12, 0.90, 0.96, 1.0])
    bins = calibration("binary_classification", label, score)
    assert [(b.rows, b.seen) for b in bins] == [(2, 0.5), (1, 1.0), (2, 0.5)]
    assert calibration_error(bins) == pytest.approx((2 * 0.39 + 0.10 + 2 * 0.48) / 5)


def test_calibration_of_a_regression_is_over_deciles():
    score = np.arange(100.0)
    bins = calibration("regression", score + 3, score)
    assert [b.rows for b in bins] == [10] * 10
    assert calibration_error(bins) == pytest.approx(3)


def test_equal_predictions_share_one_bin():
    (only,) = calibration("regression", np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert (only.rows, only.seen) == (2, 2.0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_of_one_class_leave_out_what_they_do_not_define(value):
    measured = measure("binary_classification", np.full(5, value), np.linspace(0.1, 0.9, 5))
    assert list(measured) == ["log_loss", "brier", "calibration_error", "mean_predicted", "mean_seen"]
    found = curves("binary_classification", np.full(5, value), np.linspace(0.1, 0.9, 5))
    assert not found.roc
    assert not found.precision_recall
    assert found.threshold == 0.5
    assert sum(map(sum, found.confusion)) == 5


def test_equal_labels_of_a_regression_leave_out_r2():
    assert "r2" not in measure("regression", np.full(7, 0.1), np.linspace(0, 1, 7))


def test_a_probability_of_exactly_one_that_is_wrong_has_a_finite_loss():
    assert np.isfinite(measure("binary_classification", np.array([0.0, 1.0]), np.array([1.0, 0.0]))["log_loss"])


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(LooplineError, match=r"'auroc'.*auc, average_precision"):
        weighted_metric("auroc", np.zeros(2), np.zeros(2))


def test_curves_are_thinned_keep_their_area_and_have_finite_thresholds():
    random = np.random.default_rng(0)
    label = (random.random(5_000) < 0.2).astype(float)
    score = np.clip(random.normal(0.3 + 0.2 * label, 0.15), 0, 1)
    found = curves("binary_classification", label, score)
    x, y, thresholds = map(np.array, zip(*found.roc, strict=True))
    assert len(found.roc) <= POINTS
    assert len(found.precision_recall) <= POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.isfinite(thresholds).all()
    assert (np.diff(thresholds) < 0).all()
    assert np.trapezoid(y, x) == pytest.approx(peer.roc_auc_score(label, score), abs=1e-3)


def test_confusion_is_taken_where_f1_is_highest():
    random = np.random.default_rng(0)
    label = (random.random(300) < 0.2).astype(float)
    score = np.round(np.clip(random.normal(0.3 + 0.2 * label, 0.15), 0, 1), 2)
    found = curves("binary_classification", label, score)
    assert found.confusion == peer.confusion_matrix(label, score >= found.threshold).tolist()
    best = max(peer.f1_score(label, score >= threshold) for threshold in np.unique(score))
    assert peer.f1_score(label, score >= found.threshold) == pytest.approx(best)

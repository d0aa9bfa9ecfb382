"""Counts from a prediction log; what is not a log, and what comes from a clock that is wrong."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from loopline.components.contract import prediction_log as log
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.baseline import from_rows as baseline_from_rows
from loopline.components.deployment.analysis.evidence import Tally, from_rows
from loopline.components.errors import LooplineError
from tests.canary_traffic import BEGIN, CANARY, GOOD, STABLE, Behaviour, baseline_of, evidence_of, rows

POLICY = ReleasePolicy()


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(POLICY)


def both(canary=500, stable=2_000, behaviour=GOOD, lasting=3_600.0, stable_begin=BEGIN):
    return pa.concat_tables(
        [rows(behaviour, CANARY, canary, 5, lasting=lasting), rows(GOOD, STABLE, stable, 6, stable_begin, lasting)]
    )


def changed(table, column, values):
    return table.set_column(table.column_names.index(column), log.SCHEMA.field(column), values)


def test_rows_are_counted_as_one_would_by_hand(baseline):
    table = both(behaviour=Behaviour(errors=0.1, slowdown=1.6, shift=0.1))
    seen = evidence_of(table, baseline).canary
    own = [row for row in table.to_pylist() if row[log.VERSION] == CANARY]
    answered = [row for row in own if not row[log.FAILED]]
    losses = [-np.log(row[log.SCORE] if row[log.LABEL] else 1 - row[log.SCORE]) for row in answered]
    scaled = np.minimum(np.array(losses) / baseline.quality.worst, 1)
    assert seen.requests == seen.timed == len(own)
    assert seen.errors == len(own) - len(answered)
    assert seen.slow == sum(row[log.LATENCY] > baseline.latency.limit for row in own)
    assert seen.scored == seen.labelled == len(answered)
    assert seen.above == tuple(sum(row[log.SCORE] > cut for row in answered) for cut in baseline.scores.cuts)
    assert seen.loss == pytest.approx(scaled.sum())
    assert seen.spread == pytest.approx(np.square(scaled - baseline.quality.mean).sum())
    assert (seen.ahead, seen.others_since) == (0, 0)


def test_other_versions_and_earlier_requests_are_left_out(baseline):
    earlier = rows(GOOD, CANARY, 70, 8, begin=BEGIN - timedelta(hours=2), lasting=3_600)
    more = pa.concat_tables([both(), earlier, rows(GOOD, "3", 90, 7)])
    assert evidence_of(more, baseline) == evidence_of(both(), baseline)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_rows_does_not_matter(order):
    baseline, table = baseline_of(POLICY), both(20, 40)
    one, other = (evidence_of(rows, baseline).canary.model_dump() for rows in (table, table.take(order)))
    for total in ("loss", "spread"):
        assert one.pop(total) == pytest.approx(other.pop(total))  # sums of floats differ in their last digit
    assert one == other


def test_an_answer_that_is_no_number_is_a_failure(baseline):
    table = rows(Behaviour(errors=0.0), CANARY, 4, 1)
    seen = evidence_of(changed(table, log.SCORE, pa.array([np.nan, np.inf, None, 0.2])), baseline).canary
    assert (seen.requests, seen.errors, seen.scored) == (4, 3, 1)


def test_unknown_latencies_and_labels_are_not_counted(baseline):
    table = rows(Behaviour(errors=0.0), CANARY, 4, 1)
    table = changed(table, log.LATENCY, pa.array([None, np.nan, -1.0, 9.0]))
    seen = evidence_of(changed(table, log.LABEL, pa.array([None, 1.0, None, np.nan])), baseline).canary
    assert (seen.timed, seen.slow, seen.labelled) == (1, 1, 1)
    assert evidence_of(table.drop_columns(log.LABEL), baseline).canary.labelled == 0


def test_no_rows_at_all(baseline):
    seen = evidence_of(log.SCHEMA.empty_table(), baseline)
    assert (seen.canary.requests, seen.stable.requests) == (0, 0)


def test_a_clock_that_is_ahead_is_seen(baseline):
    seen = evidence_of(both(stable_begin=BEGIN + timedelta(minutes=30)), baseline)
    assert (seen.canary.ahead, seen.stable.ahead) == (0, 1_000)
    assert seen.stable.requests == 1_000


def test_requests_that_went_past_a_side_since_it_fell_silent(baseline):
    """The canary's last request comes after half an hour; the first five minutes from then may be lateness."""
    table = pa.concat_tables([rows(GOOD, CANARY, 100, 5, lasting=1_800), rows(GOOD, STABLE, 3_600, 6)])
    seen = evidence_of(table, baseline)
    assert seen.canary.others_since == pytest.approx(3_600 - 1_800 - 300 + 18, abs=2)
    assert seen.stable.others_since == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop_columns([log.LATENCY]), "no column latency_seconds; it has time, model_version"),
        (lambda table: table.drop_columns([log.TIME, log.VERSION]), "no column time, model_version"),
        (
            lambda table: table.set_column(4, log.SCORE, pa.array(["high"] * len(table))),
            "column score of the prediction log is not double",
        ),
        (
            lambda table: table.set_column(1, log.VERSION, pa.nulls(len(table), pa.string())),
            "rows without model_version",
        ),
        (
            lambda table: table.set_column(5, log.LABEL, pa.array([0.5] * len(table))),
            "labels other than 0 and 1",
        ),
    ],
)
def test_what_is_no_prediction_log_is_refused(baseline, change, says):
    with pytest.raises(LooplineError, match=says):
        evidence_of(change(both()), baseline)


def test_a_request_of_several_rows_counts_once(baseline):
    """A batch that fails is one failure: its rows share their fate, and are no independent evidence."""
    table = rows(Behaviour(errors=0.5), CANARY, 300, 1)
    batches = pa.concat_tables([table.append_column(log.ROW, pa.array([row] * 300, pa.int32())) for row in range(4)])
    assert evidence_of(batches, baseline) == evidence_of(table, baseline)
    unnumbered = table.append_column(log.ROW, pa.nulls(300, pa.int32()))
    assert evidence_of(unnumbered, baseline) == evidence_of(table, baseline)


def test_a_regression_is_judged_by_squared_error():
    table = rows(Behaviour(errors=0.0), STABLE, 1_000, 1)
    known = baseline_from_rows(table, POLICY, "regression", STABLE)
    squares = np.square(log.numbers(table, log.SCORE) - log.numbers(table, log.LABEL))
    assert known.quality.worst == pytest.approx(2 * np.quantile(squares, 0.99))
    period = Window(BEGIN, BEGIN + timedelta(hours=1))
    seen = from_rows(table, known, "regression", period, CANARY, STABLE)
    assert seen.stable.loss / 1_000 == pytest.approx(known.quality.mean)


def test_a_reference_takes_a_hundred_requests():
    with pytest.raises(LooplineError, match=r"version 7 answered 99 requests before the release, and it takes 100"):
        baseline_of(POLICY, requests=99)


def test_a_reference_without_labels_or_with_perfect_scores_has_no_quality():
    table = rows(Behaviour(errors=0.0), STABLE, 500, 1)
    unlabelled = baseline_from_rows(table.drop_columns([log.LABEL]), POLICY, "binary_classification", STABLE)
    assert unlabelled.quality is None
    perfect = changed(table, log.SCORE, table[log.LABEL])
    assert baseline_from_rows(perfect, POLICY, "regression", STABLE).quality is None


def test_a_reference_of_constant_scores_has_one_cut():
    table = rows(Behaviour(errors=0.0), STABLE, 500, 1)
    constant = changed(table, log.SCORE, pa.array([0.25] * 500))
    known = baseline_from_rows(constant, POLICY, "binary_classification", STABLE)
    assert (known.scores.cuts, known.scores.above) == ((0.25,), (0.0,))


@pytest.mark.parametrize(
    "counts",
    [{"errors": 1}, {"slow": 1}, {"labelled": 1}, {"above": (1,)}, {"requests": -1}],
)
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValidationError):
        Tally(**counts)

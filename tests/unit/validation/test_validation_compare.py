"""Champion against challenger: only what is better by more than chance is called better."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from loopline.components.contract.evaluation import Comparison, read
from loopline.components.contract.gates import Retrain
from loopline.components.contract.metrics import EVALUATION_METRICS
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.validation import compare as stage
from loopline.components.validation.evaluate import evaluate
from loopline.components.validation.weighted_metrics import WEIGHTED_METRICS


@pytest.fixture
def judged(world):
    """Evaluate a model with some weights on the same examples, or on given ones; give the folder."""
    same = {}

    def _judged(usecase, examples=None, task="binary_classification", **weights):
        same.setdefault(task, world.examples(task=task))
        out = world.path("evaluation")
        evaluate(usecase, world.model(task=task, **weights), examples or same[task], out, out.with_suffix(".json"))
        return out

    return _judged


def policy(metric="auc", **more):
    return Retrain(window="30d", metric=metric, **more)


def test_a_model_is_not_better_than_itself(world, judged):
    usecase = world.usecase()
    one, out = judged(usecase), world.path("comparison")
    found = stage.compare(usecase, one, one, out)
    assert not found.better
    assert (found.gain, found.low, found.high) == (0, 0, 0)
    assert "does not exceed the required 0.0000" in found.reason
    assert read(Comparison, out) == found


def test_a_clearly_better_one_is_better_and_the_reverse_is_not(world, judged):
    usecase = world.usecase()
    poor, good = judged(usecase, size=0.0, wind=2.0), judged(usecase)
    found = stage.compare(usecase, poor, good, world.path("comparison"))
    assert found.better
    assert 0 < found.low < found.gain < found.high
    assert found.gain == pytest.approx(found.challenger_value - found.champion_value)
    assert found.champion_metrics["auc"] == found.champion_value
    numbers = [f"{value:+.4f}" for value in (found.gain, found.low, found.high)]
    assert all(text in found.reason for text in numbers)
    assert not stage.compare(usecase, good, poor, world.path("comparison")).better


def test_better_by_what_may_be_chance_is_not_better(world, judged):
    usecase = world.usecase()
    found = stage.compare(usecase, judged(usecase, wind=0.3), judged(usecase), world.path("comparison"))
    assert found.low < 0 < found.gain
    assert not found.better


def test_better_by_less_than_the_gain_that_is_asked_for_is_not_better(world, judged):
    usecase = world.usecase(retrain={"window": "30d", "metric": "auc", "min_gain": 0.5})
    poor, good = judged(usecase, size=0.0, wind=2.0), judged(usecase)
    found = stage.compare(usecase, poor, good, world.path("comparison"))
    assert found.low > 0
    assert not found.better


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_gain_is_positive_where_less_is_better_too(world, judged, regression, metric):
    usecase = world.usecase(**{**regression, "retrain": {"window": "30d", "metric": metric}})
    poor, good = judged(usecase, task="regression", size=1.0), judged(usecase, task="regression")
    found = stage.compare(usecase, poor, good, world.path("comparison"))
    assert found.better
    assert found.gain > 0
    assert (found.challenger_value < found.champion_value) == (metric != "r2")


@pytest.mark.parametrize("metric", ["auc", "average_precision", "log_loss", "brier"])
def test_every_classification_metric_can_decide(metric):
    random = np.random.default_rng(0)
    label = (random.random(2_000) < 0.3).astype(float)
    poor, good = (1 / (1 + np.exp(1 - strength * (label - 0.3) - random.normal(size=2_000))) for strength in (0.3, 2))
    _, gains = stage.gain(policy(metric), label, poor, good)
    assert np.quantile(gains, 0.025) > 0


def test_resamples_are_those_of_scikit_learn_with_the_same_row_counts():
    random = np.random.default_rng(3)
    label = (random.random(400) < 0.3).astype(float)
    old, new = (np.round(random.random(400) * 0.5 + 0.2 * label, 2) for _ in range(2))
    _, gains = stage.gain(policy(resamples=100), label, old, new)
    drawn = np.random.default_rng(stage.SEED)
    for found in gains[:20]:
        counts = np.bincount(drawn.integers(400, size=400, dtype=np.int32), minlength=400)
        expected = [roc_auc_score(label, score, sample_weight=counts) for score in (old, new)]
        assert found == pytest.approx(expected[1] - expected[0], abs=1e-12)


def test_chance_alone_promotes_at_most_at_the_nominal_rate():
    promoted, simulations = 0, 40
    for seed in range(simulations):
        random = np.random.default_rng(seed)
        label = (random.random(400) < 0.3).astype(float)
        old, new = (label + random.normal(0, 1.5, 400) for _ in range(2))
        _, gains = stage.gain(policy(resamples=100), label, old, new)
        promoted += np.quantile(gains, 0.025) > 0
    assert promoted <= 0.05 * simulations


def test_a_real_difference_is_found_in_most_simulations():
    found = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        label = (random.random(800) < 0.3).astype(float)
        old, new = label + random.normal(0, 1.5, 800), label + random.normal(0, 1.0, 800)
        _, gains = stage.gain(policy(resamples=200), label, old, new)
        found += np.quantile(gains, 0.025) > 0
    assert found >= 9


def test_different_rows_are_refused(world, judged):
    usecase, rows = world.usecase(), world.rows()
    one = judged(usecase)
    fewer = judged(usecase, examples=world.examples(rows.slice(1)))
    with pytest.raises(LooplineError, match=r"champion has 600 scored rows, challenger 599.*same examples"):
        stage.compare(usecase, one, fewer, world.path("comparison"))
    others = judged(usecase, examples=world.examples(rows.take([1, 0, *range(2, 600)])))
    with pytest.raises(LooplineError, match="rows that differ in 'thing'"):
        stage.compare(usecase, one, others, world.path("comparison"))
    flipped = rows.set_column(rows.schema.get_field_index("label"), "label", [1 - rows["label"].to_numpy()])
    with pytest.raises(LooplineError, match="rows that differ in 'label'"):
        stage.compare(usecase, one, judged(usecase, examples=world.examples(flipped)), world.path("comparison"))


def test_scores_that_changed_are_refused(world, judged):
    usecase = world.usecase()
    one = judged(usecase)
    table = pq.read_table(one / "scores.parquet")
    pq.write_table(table.set_column(3, "score", table["label"]), one / "scores.parquet")
    with pytest.raises(CorruptArtifactError, match=r"scores\.parquet changed after"):
        stage.compare(usecase, one, judged(usecase), world.path("comparison"))
    (one / "scores.parquet").unlink()
    with pytest.raises(LooplineError, match=r"has no scores\.parquet"):
        stage.compare(usecase, one, judged(usecase), world.path("comparison"))


def test_a_metric_of_the_other_task_is_refused(world, judged):
    usecase = world.usecase(retrain={"window": "30d", "metric": "rmse"})
    with pytest.raises(LooplineError, match=r"retrain\.metric 'rmse'.*known: auc"):
        stage.compare(usecase, judged(usecase), judged(usecase), world.path("comparison"))


def test_labels_of_one_class_cannot_decide_by_auc():
    with pytest.raises(LooplineError, match="auc is not defined on these 10 rows"):
        stage.gain(policy(), np.ones(10), np.linspace(0, 1, 10), np.linspace(0, 1, 10))


def test_every_metric_that_compares_is_one_that_is_measured():
    assert set(WEIGHTED_METRICS) <= {metric for metrics in EVALUATION_METRICS.values() for metric in metrics}


def test_the_summary_shows_both_models(world, judged, tmp_path):
    usecase = world.usecase()
    found = stage.compare(usecase, judged(usecase, size=0.0), judged(usecase), world.path("comparison"))
    stage.write_summary(found, tmp_path / "summary.md")
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("# The challenger is better\n")
    assert f"| AUC | {found.champion_value:.3f} | {found.challenger_value:.3f} |" in text

"""The KFP interface: what each step returns and logs."""

import pytest
from kfp import dsl

from loopline.components.validation import component
from loopline.components.validation.evaluate import evaluate


@pytest.fixture
def artifact(world):
    """A KFP artifact of a type, at a new path or at a given one."""

    def _artifact(kind, path=None):
        return kind(name="a", uri=str(path or world.path("artifact")), metadata={})

    return _artifact


@pytest.fixture
def run_evaluate(world, artifact):
    def _run(usecase, task="binary_classification"):
        inputs = {
            "model": artifact(dsl.Model, world.model(task=task)),
            "examples": artifact(dsl.Dataset, world.examples(task=task)),
        }
        outputs = {
            "evaluation": artifact(dsl.Artifact),
            "footprint": artifact(dsl.Artifact),
            "metrics": artifact(dsl.Metrics),
            "classification": artifact(dsl.ClassificationMetrics),
            "report": artifact(dsl.HTML),
        }
        component.evaluate.python_func(usecase, **inputs, **outputs)
        return {**inputs, **outputs}

    return _run


def test_evaluate_logs_metrics_curve_and_confusion(world, run_evaluate):
    out = run_evaluate(world.usecase())
    assert out["evaluation"].metadata["rows"] == 600
    assert out["evaluation"].metadata["digest"].startswith("sha256:")
    assert 0.8 < out["metrics"].metadata["auc"] < 0.95
    curve = out["classification"].metadata["confidenceMetrics"]
    assert len(curve) <= 200
    assert curve[-1]["recall"] == 1
    confusion = out["classification"].metadata["confusionMatrix"]["rows"]
    assert sum(sum(row["row"]) for row in confusion) == 600


def test_evaluate_logs_no_classification_of_a_regression(world, run_evaluate, regression):
    out = run_evaluate(world.usecase(**regression), task="regression")
    assert out["classification"].metadata == {}
    assert "rmse" in out["metrics"].metadata


def test_check_gates_answers_and_does_not_fail(world, artifact, run_evaluate):
    judged = run_evaluate(world.usecase())
    for bound, answer in ((0.5, "pass"), (0.99, "fail")):
        usecase = world.usecase(validation={"gates": [{"metric": "auc", "min": bound}]})
        verdict, summary = artifact(dsl.Artifact), artifact(dsl.Markdown)
        given = component.check_gates.python_func(usecase, judged["evaluation"], judged["footprint"], verdict, summary)
        assert given == answer
        assert verdict.metadata["passed"] == (answer == "pass")
    write = artifact(dsl.Markdown)
    component.write_card.python_func(
        usecase, judged["model"], judged["evaluation"], judged["footprint"], verdict, write
    )
    assert write.metadata["digest"].startswith("sha256:")


def test_compare_answers_better_or_not(world, artifact):
    usecase, examples = world.usecase(), world.examples()
    poor, good = artifact(dsl.Artifact), artifact(dsl.Artifact)
    for out, size in ((poor, 0.0), (good, 2.0)):
        evaluate(usecase, world.model(size=size), examples, out.path, world.path("footprint"))
    for pair, answer in (((poor, good), "better"), ((good, poor), "not_better")):
        comparison, summary = artifact(dsl.Artifact), artifact(dsl.Markdown)
        assert component.compare.python_func(usecase, *pair, comparison, summary) == answer
        assert comparison.metadata["better"] == (answer == "better")

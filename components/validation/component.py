"""The validation stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none", shows={"evaluation": "evaluation", "footprint": "footprint"})
@dsl.component(base_image="loopline-validation", install_kfp_package=False)
def evaluate(
    usecase: str,
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    footprint: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Measure a model on labelled examples.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        model: the packaged model.
        examples: rows with labels and the model's features.
        evaluation: metrics, curves, slices and scenarios, with the score of every labelled row.
        footprint: size and speed of the model.
        metrics: the metrics over all labelled rows.
        classification: ROC curve and confusion matrix; empty for a regression.
        report: all of it as a page.
    """
    from pathlib import Path

    from loopline.components.io import digest
    from loopline.components.validation.evaluate import evaluate
    from loopline.components.validation.report import write_report

    found = evaluate(usecase, model.path, examples.path, evaluation.path, footprint.path)
    write_report(usecase, evaluation.path, footprint.path, report.path)
    evaluation.metadata.update(digest=digest.of_tree(Path(evaluation.path)), model=found.model, rows=found.labelled)
    footprint.metadata.update(digest=digest.of_tree(Path(footprint.path)), model=found.model)
    for name, value in found.metrics.items():
        metrics.log_metric(name, value)
    if found.curves.roc:
        classification.log_roc_curve(*map(list, zip(*found.curves.roc, strict=True)))
    if found.curves.confusion:
        classification.log_confusion_matrix(["seen 0", "seen 1"], found.curves.confusion)


@StepFacts(effects="none", refusals=("fail",), reason="verdict", shows={"verdict": "verdict"})
@dsl.component(base_image="loopline-validation", install_kfp_package=False)
def check_gates(
    usecase: str,
    evaluation: dsl.Input[dsl.Artifact],
    footprint: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Check a model against the gates of its use case. A failed gate is a result, not an error.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        evaluation: the model's evaluation.
        footprint: the model's footprint.
        verdict: each gate with its number, and the reason.
        summary: the same as a table.

    Returns:
        pass or fail.
    """
    import os
    from pathlib import Path

    from loopline.components.contract.environment_policy import VARIABLE, EnvironmentPolicy
    from loopline.components.io import digest
    from loopline.components.validation import gates

    policy = EnvironmentPolicy.parse(os.environ.get(VARIABLE, ""))
    found = gates.check_gates(usecase, evaluation.path, footprint.path, verdict.path, policy)
    gates.write_summary(found, summary.path)
    verdict.metadata.update(digest=digest.of_tree(Path(verdict.path)), passed=found.passed, reason=found.reason)
    return "pass" if found.passed else "fail"


@StepFacts(effects="none", refusals=("not_better",), reason="comparison", shows={"comparison": "comparison"})
@dsl.component(base_image="loopline-validation", install_kfp_package=False)
def compare(
    usecase: str,
    champion: dsl.Input[dsl.Artifact],
    challenger: dsl.Input[dsl.Artifact],
    comparison: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Decide whether a challenger is better than the champion on the same rows.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        champion: evaluation of the model in use.
        challenger: evaluation of the model that would replace it.
        comparison: the gain with its interval, and the reason.
        summary: the same as a table.

    Returns:
        better or not_better.
    """
    from pathlib import Path

    from loopline.components.io import digest
    from loopline.components.validation import compare as stage

    found = stage.compare(usecase, champion.path, challenger.path, comparison.path)
    stage.write_summary(found, summary.path)
    comparison.metadata.update(digest=digest.of_tree(Path(comparison.path)), better=found.better, reason=found.reason)
    return "better" if found.better else "not_better"


@StepFacts(effects="none", shows={"card": "card"})
@dsl.component(base_image="loopline-validation", install_kfp_package=False)
def write_card(
    usecase: str,
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    footprint: dsl.Input[dsl.Artifact],
    verdict: dsl.Input[dsl.Artifact],
    card: dsl.Output[dsl.Markdown],
) -> None:
    """Write the model card.

    Args:
        usecase: package of the use case, with what its people state in its card.md.
        model: the packaged model.
        evaluation: its evaluation.
        footprint: its footprint.
        verdict: its verdict.
        card: the card.
    """
    from pathlib import Path

    from loopline.components.io import digest
    from loopline.components.validation.card import write_card

    write_card(usecase, model.path, evaluation.path, footprint.path, verdict.path, card.path)
    card.metadata["digest"] = digest.of_tree(Path(card.path))

"""The training DAG: from raw tables to a registered candidate."""

from kfp import dsl

from loopline.components.registry.component import register
from loopline.components.training.component import package, train
from loopline.components.validation.component import evaluate
from loopline.pipelines.nested.examples import examples_of

training_examples = examples_of("training-examples")
evaluation_examples = examples_of("evaluation-examples")


@dsl.pipeline(name="training")
def training(
    usecase: str,
    start: str,
    end: str,
    evaluate_start: str,
    evaluate_end: str,
    registry: str,
    tracking: str,
    target: str = "pod",
) -> None:
    """Train on one window, evaluate on another, register the packaged model as candidate.

    The model is packaged before it is evaluated: what is judged is what would ship.

    Args:
        usecase: package of the use case, for example loopline.usecases.flights.
        start: first moment to train on.
        end: end of the training window, excluded.
        evaluate_start: first moment to evaluate on.
        evaluate_end: end of the evaluation window, excluded.
        registry: MLflow URI of the model registry.
        tracking: MLflow URI of the experiment tracking.
        target: where to train: pod, the step's own, or trainjob, on the nodes of a TrainJob.
    """
    learned = training_examples(usecase=usecase, start=start, end=end)
    unseen = evaluation_examples(usecase=usecase, start=evaluate_start, end=evaluate_end)
    trained = train(usecase=usecase, tracking=tracking, target=target, examples=learned.outputs["examples"])
    packaged = package(usecase=usecase, weights=trained.outputs["weights"], examples=learned.outputs["examples"])
    evaluated = evaluate(usecase=usecase, model=packaged.outputs["model"], examples=unseen.outputs["examples"])
    register(
        usecase=usecase,
        registry=registry,
        alias="candidate",
        model=packaged.outputs["model"],
        evaluation=evaluated.outputs["evaluation"],
    )

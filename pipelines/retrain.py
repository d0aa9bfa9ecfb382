"""The retrain DAG: a challenger on newer data, compared with the champion on the same rows."""

from kfp import dsl

from loopline.components.registry.component import fetch_model, promote, register
from loopline.components.training.component import package, train
from loopline.components.validation.component import check_gates, compare, evaluate
from loopline.pipelines.nested.examples import examples_of

training_examples = examples_of("training-examples")
comparison_examples = examples_of("comparison-examples")


@dsl.pipeline(name="retrain")
def retrain(
    usecase: str,
    champion: str,
    start: str,
    end: str,
    compare_start: str,
    compare_end: str,
    registry: str,
    tracking: str,
    target: str = "pod",
) -> None:
    """Train a challenger and promote it only if it is better than the champion and passes the gates.

    Args:
        usecase: package of the use case.
        champion: version of the champion that is challenged; it must still be champion for the challenger to win.
        start: first moment to train on.
        end: end of the training window, excluded.
        compare_start: first moment to compare on.
        compare_end: end of that window, excluded.
        registry: MLflow URI of the model registry.
        tracking: MLflow URI of the experiment tracking.
        target: where to train: pod, the step's own, or trainjob, on the nodes of a TrainJob.
    """
    learned = training_examples(usecase=usecase, start=start, end=end).outputs["examples"]
    unseen = comparison_examples(usecase=usecase, start=compare_start, end=compare_end).outputs["examples"]
    trained = train(usecase=usecase, tracking=tracking, target=target, examples=learned)
    challenger = package(usecase=usecase, weights=trained.outputs["weights"], examples=learned).outputs["model"]
    reigning = fetch_model(usecase=usecase, registry=registry, version=champion).outputs["model"]
    of_challenger = evaluate(usecase=usecase, model=challenger, examples=unseen)
    of_challenger.set_display_name("evaluate-challenger")
    of_champion = evaluate(usecase=usecase, model=reigning, examples=unseen)
    of_champion.set_display_name("evaluate-champion")
    version = register(
        usecase=usecase,
        registry=registry,
        alias="challenger",
        model=challenger,
        evaluation=of_challenger.outputs["evaluation"],
    )
    gates = check_gates(
        usecase=usecase,
        evaluation=of_challenger.outputs["evaluation"],
        footprint=of_challenger.outputs["footprint"],
    )
    compared = compare(
        usecase=usecase,
        champion=of_champion.outputs["evaluation"],
        challenger=of_challenger.outputs["evaluation"],
    )
    with (
        dsl.If(compared.outputs["Output"] == "better", name="better"),
        dsl.If(gates.outputs["Output"] == "pass", name="passed"),
    ):
        promote(
            usecase=usecase,
            registry=registry,
            version=version.outputs["Output"],
            expected_champion=champion,
            verdict=gates.outputs["verdict"],
            comparison=compared.outputs["comparison"],
        )

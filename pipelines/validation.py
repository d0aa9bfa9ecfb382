"""The validation DAG: a candidate against its gates; the first that passes becomes champion."""

from kfp import dsl

from loopline.components.registry.component import fetch_model, promote
from loopline.components.validation.component import check_gates, evaluate, write_card
from loopline.pipelines.nested.examples import examples_of

evaluation_examples = examples_of("evaluation-examples")


@dsl.pipeline(name="validation")
def validation(usecase: str, version: str, start: str, end: str, expected_champion: str, registry: str) -> None:
    """Judge a registered model on a window and make it champion if it passes and there is none yet.

    Args:
        usecase: package of the use case.
        version: version of the model.
        start: first moment to judge it on.
        end: end of that window, excluded.
        expected_champion: version that is champion while this decision is made; empty if there is none.
        registry: MLflow URI of the model registry.
    """
    model = fetch_model(usecase=usecase, registry=registry, version=version).outputs["model"]
    unseen = evaluation_examples(usecase=usecase, start=start, end=end)
    evaluated = evaluate(usecase=usecase, model=model, examples=unseen.outputs["examples"]).outputs
    gates = check_gates(usecase=usecase, evaluation=evaluated["evaluation"], footprint=evaluated["footprint"])
    write_card(
        usecase=usecase,
        model=model,
        evaluation=evaluated["evaluation"],
        footprint=evaluated["footprint"],
        verdict=gates.outputs["verdict"],
    )
    with dsl.If(gates.outputs["Output"] == "pass", name="passed"):
        promote(
            usecase=usecase,
            registry=registry,
            version=version,
            expected_champion=expected_champion,
            verdict=gates.outputs["verdict"],
        )

"""The batch inference DAG: one prediction per entity of a window, published."""

from kfp import dsl

from loopline.components.inference.component import predict, publish
from loopline.components.registry.component import fetch_model
from loopline.pipelines.nested.examples import examples_of

batch_examples = examples_of("batch-examples")


@dsl.pipeline(name="batch-inference")
def batch_inference(
    usecase: str, version: str, start: str, end: str, registry: str, destination: str, engine: str
) -> None:
    """Predict every entity of a window with features as they were known in time.

    Args:
        usecase: package of the use case.
        version: version of the model.
        start: first moment to predict.
        end: end of that window, excluded.
        registry: MLflow URI of the model registry.
        destination: where the predictions are published; the dates of this window are replaced.
        engine: local, to score in one step, or spark, to do so on many nodes.
    """
    model = fetch_model(usecase=usecase, registry=registry, version=version).outputs["model"]
    batch = batch_examples(usecase=usecase, start=start, end=end).outputs
    predicted = predict(
        usecase=usecase,
        model=model,
        version=version,
        engine=engine,
        examples=batch["examples"],
        quarantine=batch["quarantine"],
    )
    publish(
        usecase=usecase, start=start, end=end, destination=destination, predictions=predicted.outputs["predictions"]
    )

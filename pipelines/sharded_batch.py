"""The batch inference DAG for a window that one pod is too slow for: scored in contiguous shards, side by side."""

from kfp import dsl

from loopline.components.inference.component import merge_shards, plan_shards, publish, score_shard
from loopline.components.registry.component import fetch_model
from loopline.pipelines.nested.examples import examples_of

batch_examples = examples_of("batch-examples")


@dsl.pipeline(name="sharded-batch")
def sharded_batch(
    usecase: str, version: str, start: str, end: str, registry: str, destination: str, shards: str
) -> None:
    """Predict every entity of a window in parallel; the predictions are those of batch inference, to the byte.

    Args:
        usecase: package of the use case.
        version: version of the model.
        start: first moment to predict.
        end: end of that window, excluded.
        registry: MLflow URI of the model registry.
        destination: where the predictions are published; the dates of this window are replaced.
        shards: how many parts the examples are scored in.
    """
    model = fetch_model(usecase=usecase, registry=registry, version=version).outputs["model"]
    batch = batch_examples(usecase=usecase, start=start, end=end).outputs
    with dsl.ParallelFor(plan_shards(shards=shards).output, name="shards") as shard:
        scored = score_shard(usecase=usecase, model=model, version=version, examples=batch["examples"], shard=shard)
    predicted = merge_shards(parts=dsl.Collected(scored.outputs["part"]), quarantine=batch["quarantine"])
    publish(
        usecase=usecase, start=start, end=end, destination=destination, predictions=predicted.outputs["predictions"]
    )

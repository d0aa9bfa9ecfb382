"""The inference stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none", shows={"predictions": "predictions"})
@dsl.component(base_image="loopline-inference", install_kfp_package=False)
def predict(
    usecase: str,
    model: dsl.Input[dsl.Model],
    version: str,
    engine: str,
    examples: dsl.Input[dsl.Dataset],
    quarantine: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Score every example of a window; rows without a usable score are quarantined with a reason.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        model: the packaged model.
        version: its version in the registry, written into each row.
        engine: local, to score in this step, or spark, to score in a SparkApplication.
        examples: the examples of the window.
        quarantine: the rows that data validation quarantined; those of the window are counted and listed.
        predictions: one row per example with its score, and the rows that have none.
        metrics: rows in, out and quarantined, and rows per second.
    """
    import time

    from loopline.components.inference.artifact import Artifact
    from loopline.components.inference.engine import predict_with
    from loopline.components.inference.predictions import COUNTS

    began = time.perf_counter()
    predicted = predict_with(
        engine,
        usecase,
        version,
        Artifact(model.uri, model.path),
        Artifact(examples.uri, examples.path),
        Artifact(quarantine.uri, quarantine.path),
        predictions.path,
    )
    counts = {name: predicted.facts[name] for name in COUNTS}
    predictions.metadata.update(digest=predicted.digest, **counts)
    rows_per_second = counts["rows_in"] / (time.perf_counter() - began)
    for name, value in {**counts, "rows_per_second": rows_per_second}.items():
        metrics.log_metric(name, value)


@StepFacts(effects="none")
@dsl.component(base_image="loopline-inference", install_kfp_package=False)
def plan_shards(shards: str) -> list[str]:
    """List the shards for a number of them, such as 1/3, 2/3, 3/3.

    Args:
        shards: how many.
    """
    from loopline.components.inference.shards import plan

    return plan(shards)


@StepFacts(effects="none")
@dsl.component(base_image="loopline-inference", install_kfp_package=False)
def score_shard(
    usecase: str,
    model: dsl.Input[dsl.Model],
    version: str,
    examples: dsl.Input[dsl.Dataset],
    shard: str,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Score a contiguous part of the examples of a window.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        model: the packaged model.
        version: its version in the registry, written into each row.
        examples: all the examples of the window.
        shard: which of them, such as 2/3.
        part: one row per example of the shard, with its score or the reason why it has none.
    """
    from loopline.components.inference.shards import score_shard

    scored = score_shard(usecase, model.path, version, examples.path, shard, part.path)
    part.metadata.update(digest=scored.digest, rows=scored.rows("scored"))


@StepFacts(effects="none", shows={"predictions": "predictions"})
@dsl.component(base_image="loopline-inference", install_kfp_package=False)
def merge_shards(
    parts: dsl.Input[list[dsl.Dataset]],
    quarantine: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Merge the scored shards of a window; the result does not depend on their number.

    Args:
        parts: the scored shards.
        quarantine: the rows that data validation quarantined; those of the window are counted and listed.
        predictions: one row per example with its score, and the rows that have none.
        metrics: rows in, out and quarantined.
    """
    from loopline.components.inference.predictions import COUNTS
    from loopline.components.inference.shards import merge

    merged = merge([part.path for part in parts], quarantine.path, predictions.path)
    counts = {name: merged.facts[name] for name in COUNTS}
    predictions.metadata.update(digest=merged.digest, **counts)
    for name, value in counts.items():
        metrics.log_metric(name, value)


@StepFacts(effects="locations", locations=("destination",), calls_service=True, shows={"receipt": "publication"})
@dsl.component(base_image="loopline-inference", install_kfp_package=False)
def publish(
    usecase: str,
    start: str,
    end: str,
    destination: str,
    predictions: dsl.Input[dsl.Dataset],
    receipt: dsl.Output[dsl.Artifact],
) -> None:
    """Publish the predictions of a window by date; they replace those of the same dates atomically.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        start: first moment of the window, the beginning of a day; without a zone, in the use case's timezone.
        end: end of the window, excluded, the beginning of a day.
        destination: folder or s3:// prefix to publish under; readers find the predictions through current in it.
        predictions: predictions of exactly this window.
        receipt: where they are, rows by date, the version and digest of the model.
    """
    from pathlib import Path

    from loopline.components.inference.publish import publish
    from loopline.components.io import digest

    published = publish(usecase, start, end, destination, predictions.path, receipt.path)
    receipt.metadata.update(digest=digest.of_file(Path(receipt.path)), rows=published["rows"])

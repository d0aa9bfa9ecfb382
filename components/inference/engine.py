"""The engines of batch prediction: local, in the process of the step, and spark, in a SparkApplication."""

from pathlib import Path

from loopline.components.contract.dataset import Dataset
from loopline.components.errors import LooplineError
from loopline.components.inference.artifact import Artifact

ENGINES = ("local", "spark")


def predict_with(
    engine: str,
    usecase: str,
    version: str,
    model: Artifact,
    examples: Artifact,
    quarantine: Artifact,
    predictions_path: Path | str,
) -> Dataset:
    """Score every example with an engine and write the predictions dataset; both write the same bytes.

    Raises:
        LooplineError: there is no such engine, or the prediction could not be made.
    """
    if engine == "local":
        from loopline.components.inference.predict import predict  # noqa: PLC0415

        predict(usecase, model.path, version, examples.path, quarantine.path, predictions_path)
        return Dataset.open(predictions_path, verify=False)
    if engine == "spark":
        from loopline.components.inference.spark_engine import predict_on_spark  # noqa: PLC0415

        return predict_on_spark(usecase, version, model, examples, quarantine, predictions_path)
    raise LooplineError(f"there is no engine '{engine}'; there are {', '.join(ENGINES)}")

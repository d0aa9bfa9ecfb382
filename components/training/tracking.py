"""Logs a training to MLflow."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io import mlflow_database


def track(
    uri: str, spec: UseCaseSpec, facts: Mapping[str, Any], losses: Sequence[float], figures: Mapping[str, float]
) -> str:
    """Log one finished training and return the id of its MLflow run.

    Args:
        uri: MLflow tracking URI.
        spec: whose ``model`` section becomes the parameters.
        facts: lineage, logged as tags.
        losses: held-out loss by epoch.
        figures: final metrics.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - takes seconds to import
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    database = mlflow_database.path_of(uri)
    if database:
        mlflow_database.create(database, MlflowClient)
    client = MlflowClient(uri)
    name = f"{spec.name}/training"
    experiment = client.get_experiment_by_name(name)
    identity = experiment.experiment_id if experiment else client.create_experiment(name)
    run = client.create_run(identity)
    metrics = [Metric("held_out_loss", loss, 0, epoch) for epoch, loss in enumerate(losses, start=1)]
    metrics += [Metric(key, value, 0, 0) for key, value in figures.items() if key != "held_out_loss"]
    parameters = [Param(key, str(value)) for key, value in spec.model.model_dump().items()]
    client.log_batch(run.info.run_id, metrics, parameters, [RunTag(key, str(value)) for key, value in facts.items()])
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)

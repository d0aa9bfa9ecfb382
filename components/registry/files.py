"""A registered model's files: the artifacts of a run in MLflow's artifact store.

With SQLite that is the folder ``artifacts`` next to the database; a tracking server has its own store.
"""

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopline.components.contract.model import Model
from loopline.components.io import mlflow_database as database
from loopline.components.registry import client as mlflow
from loopline.components.registry.versions import DIGEST

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "model"
# A run that has been copying for so long was killed, and will never become a version.
ABANDONED = timedelta(days=1)


def store(client: "MlflowClient", registry: str, name: str, model: Model) -> tuple[str, str]:
    """Copy a model's files into the registry.

    Returns:
        the id of the run, and the URI of the files.
    """
    experiment = _experiment(client, registry, name)
    _delete_abandoned(client, experiment)
    run = client.create_run(experiment, tags={DIGEST: model.digest}, run_name=model.digest[:19])
    uri = _uri(registry, run)
    mlflow.artifacts(registry, uri).log_artifacts(str(model.path))
    client.set_terminated(run.info.run_id)
    return run.info.run_id, uri


def copy_out(client: "MlflowClient", registry: str, run: str, folder: Path) -> None:
    """Copy the files of a run's model into an existing folder."""
    mlflow.artifacts(registry, _uri(registry, client.get_run(run))).download_artifacts("", str(folder))


def _uri(registry: str, run: Any) -> str:
    """URI of a run's model.

    MLflow stores absolute paths. With SQLite the path follows from that of the database, so the registry can be moved
    or mounted elsewhere.
    """
    path = database.path_of(registry)
    root = f"{_root(path)}/{run.info.run_id}/artifacts" if path else run.info.artifact_uri
    return f"{root}/{FOLDER}"


def _root(path: Path) -> str:
    return (path.parent / "artifacts").as_uri()


def _experiment(client: "MlflowClient", registry: str, name: str) -> str:
    path = database.path_of(registry)
    title = f"{name}/registry"
    with mlflow.tolerating(mlflow.EXISTS):
        return str(client.create_experiment(title, artifact_location=_root(path) if path else None))
    return str(client.get_experiment_by_name(title).experiment_id)


def _delete_abandoned(client: "MlflowClient", experiment: str) -> None:
    """Mark the runs of registrations that were killed long ago as deleted, for ``mlflow gc`` to remove."""
    before = int(1000 * (time.time() - ABANDONED.total_seconds()))
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and attributes.start_time < {before}"):
        client.delete_run(run.info.run_id)

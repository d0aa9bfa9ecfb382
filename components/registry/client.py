"""Access to MLflow: opens a registry, keeps MLflow quiet, and turns its errors into one line for people.

Importing MLflow takes seconds, so it happens when a registry is opened and nowhere else in this stage.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.io import mlflow_database as database

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.tracking import MlflowClient

EXISTS = "RESOURCE_ALREADY_EXISTS"
MISSING = "RESOURCE_DOES_NOT_EXIST"
CONTENDED = "INTERNAL_ERROR"
CONFLICT = "BAD_REQUEST"
PAGE = 1000


@contextmanager
def opened(registry: str, *, create: bool = False) -> Iterator["MlflowClient"]:
    """A client of the registry; errors of MLflow and of the disk inside the block become one line for people.

    Args:
        registry: MLflow tracking URI, used for runs and for models alike.
        create: make a registry on SQLite if it does not exist yet.

    Raises:
        LooplineError: it does not exist, cannot be reached, is damaged, or refuses something.
    """
    path = database.path_of(registry)
    if path and not create:
        database.check(path)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - takes seconds
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    _silence()
    try:
        if path and create:
            database.create(path, MlflowClient)
            database.check(path)
        yield MlflowClient(registry, registry)
    except MlflowException as error:
        raise LooplineError(f"the model registry {_redacted(registry)} {_explain(error)}") from error
    except OSError as error:
        if atomic.is_disk_full(error):
            raise LooplineError(
                f"the disk is full: the model registry {_redacted(registry)} could not be written "
                "(nothing is half-registered); free some space and run the same command again"
            ) from error
        raise LooplineError(f"the model registry {_redacted(registry)} cannot be used: {error}") from error


@contextmanager
def tolerating(code: str) -> Iterator[None]:
    """Ignore MLflow errors with this code: the goal is reached already, or the caller tries again."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def put(write: Callable[..., object], *arguments: str) -> None:
    """Set an alias or a tag, also while another process does.

    MLflow first looks whether it exists, then inserts or updates it. Of two processes that find it missing at the same
    time, one fails; on its second try it finds what the other inserted.
    """
    with tolerating(CONFLICT):
        write(*arguments)
        return
    write(*arguments)


def artifacts(registry: str, uri: str) -> "ArtifactRepository":
    """MLflow's access to the files below an artifact URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    return get_artifact_repository(uri, tracking_uri=registry)


def search_versions(client: "MlflowClient", name: str) -> Iterator[Any]:
    """MLflow's own records of the versions of a registered model, oldest first; none if there is no such model."""
    token = None
    while True:
        page = client.search_model_versions(
            f"name = '{name}'", max_results=PAGE, order_by=["version_number ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def moment(milliseconds: int) -> datetime:
    """A timestamp of MLflow, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _silence() -> None:
    """Switch off MLflow's informational output."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it also raises what it logs
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def _redacted(registry: str) -> str:
    return re.sub(r"://[^@/]*@", "://***@", registry)


def _explain(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "Max retries exceeded" in lines[0]:
        return "cannot be reached; check its address, and that its server runs"
    return f"refused: {lines[0].rstrip('.')}"

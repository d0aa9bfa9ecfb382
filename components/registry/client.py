"""The door to MLflow: opens a registry, keeps MLflow quiet, and turns its errors into sentences.

Importing MLflow takes seconds, so it happens when a registry is opened and nowhere else in this stage.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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


@contextmanager
def opened(registry: str, *, create: bool = False) -> Iterator["MlflowClient"]:
    """A client of the registry; what MLflow or the disk refuses inside the block becomes one sentence.

    Args:
        registry: MLflow tracking URI, used for runs and for models alike.
        create: make a registry on SQLite that does not exist yet.

    Raises:
        LooplineError: it does not exist, cannot be reached, is damaged, or refuses something.
    """
    path = database.path_of(registry)
    if path and not create:
        database.check(path)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - takes seconds
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    _quieten()
    try:
        if path and create:
            database.create(path, MlflowClient)
            database.check(path)
        yield MlflowClient(registry, registry)
    except MlflowException as error:
        raise LooplineError(f"the model registry {_shown(registry)} {_why(error)}") from error
    except OSError as error:
        if atomic.is_disk_full(error):
            raise LooplineError(
                f"the disk is full: the model registry {_shown(registry)} could not be written "
                "(nothing is half-registered); free some space and run the same command again"
            ) from error
        raise LooplineError(f"the model registry {_shown(registry)} cannot be used: {error}") from error


@contextmanager
def tolerating(code: str) -> Iterator[None]:
    """Let an MLflow error with this code pass: what was wanted is so already, or is tried again."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def put(write: Callable[..., object], *arguments: str) -> None:
    """Set an alias or a tag, also while somebody else does.

    MLflow looks whether it is there and then inserts or updates it. Of two who find it absent at the same time, one
    fails; trying again, it finds what the other inserted.
    """
    with tolerating(CONFLICT):
        write(*arguments)
        return
    write(*arguments)


def artifacts(registry: str, uri: str) -> "ArtifactRepository":
    """MLflow's access to the files below an artifact URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    return get_artifact_repository(uri, tracking_uri=registry)


def _quieten() -> None:
    """Leave out of MLflow's output what nobody asked for."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it logs with a traceback what it raises as well
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def _shown(registry: str) -> str:
    return re.sub(r"://[^@/]*@", "://***@", registry)


def _why(error: Exception) -> str:
    said = str(error).strip().splitlines() or [type(error).__name__]
    if "Max retries exceeded" in said[0]:
        return "cannot be reached; check its address, and that its server runs"
    return f"refused: {said[0].rstrip('.')}"

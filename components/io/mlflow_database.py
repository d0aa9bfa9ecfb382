"""The SQLite file behind MLflow on a laptop, which training tracks in and the registry keeps models in.

Where it is, whether it is sound, and making it in one step. A tracking server has none: there is nothing to do then.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.components.io import atomic

SCHEME = "sqlite:///"


def path_of(registry: str) -> Path | None:
    """The database file of ``sqlite:///<path>``; None for a tracking server.

    Raises:
        LooplineError: it is neither.
    """
    if registry.startswith(SCHEME):
        return Path(registry.removeprefix(SCHEME)).absolute()
    if "://" not in registry or registry.startswith("file:"):
        raise LooplineError(
            f"'{registry}' is no model registry; write sqlite:///<path>/mlflow.db, "
            "or the http(s):// address of an MLflow tracking server"
        )
    return None


def exists(registry: str) -> bool:
    """Whether there is a registry to look into; a tracking server is taken to be there."""
    path = path_of(registry)
    return path is None or path.exists()


def check(path: Path) -> None:
    """Look into a database before MLflow does, which would try a damaged one for minutes.

    Raises:
        LooplineError: it is missing, or no SQLite database.
    """
    if not path.is_file():
        raise LooplineError(f"there is no model registry at {path} yet; training a model makes it")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise LooplineError(
            f"the model registry {path} cannot be read ({error}); "
            "put it back from a backup, or move it away and train again"
        ) from error


def create(path: Path, migrate: Callable[[str], object]) -> None:
    """Make a database if there is none; killed at any moment, or raced, it is whole or not there.

    MLflow builds its tables in many small steps, and cannot continue if it was killed between two of them or if two
    processes take them at once. So they are taken in a file of our own, which then gets its name.

    Args:
        path: the file to make.
        migrate: given the URI of a fresh database, fills it with MLflow's tables.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}{atomic.PARTIAL}", dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        migrate(f"{SCHEME}{fresh}")
        with suppress(FileExistsError):  # another process was faster, and its database may be in use already
            os.link(fresh, path)

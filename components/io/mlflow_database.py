"""The SQLite database of MLflow on a laptop: its path, whether it is intact, and its creation in one step.

Training tracks runs in it, and the registry keeps models in it. With a tracking server there is none.
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
        LooplineError: it is neither a database nor a server.
    """
    if registry.startswith(SCHEME):
        return Path(registry.removeprefix(SCHEME)).absolute()
    if "://" not in registry or registry.startswith("file:"):
        raise LooplineError(
            f"'{registry}' is not a model registry; write sqlite:///<path>/mlflow.db, "
            "or the http(s):// address of an MLflow tracking server"
        )
    return None


def exists(registry: str) -> bool:
    """Whether the registry exists; a tracking server is assumed to."""
    path = path_of(registry)
    return path is None or path.exists()


def check(path: Path) -> None:
    """Check a database before MLflow opens it, which would retry a damaged one for minutes.

    Raises:
        LooplineError: it is missing, or not a SQLite database.
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
    """Create a database if there is none; also if it is killed, or two do so at once, it is complete or not there.

    MLflow creates its tables in many small steps, and cannot continue if it was killed between two of them or if two
    processes do so at once. So they are created in a temporary file, which is then renamed.

    Args:
        path: the database.
        migrate: given the URI of a new database, creates MLflow's tables in it.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}{atomic.PARTIAL}", dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        migrate(f"{SCHEME}{fresh}")
        with suppress(FileExistsError):  # another process was faster, and its database may be in use already
            os.link(fresh, path)

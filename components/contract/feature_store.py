"""The layout and the settings of a materialised feature store, which the features stage writes and serving reads.

Layout of the folder (or, with an online store elsewhere, of the tree in an object store)::

    feature_store.yaml   for any Feast tool
    registry.db          definitions with their lineage, and how far each view is materialised
    online.db            the online store (SQLite), unless LOOPLINE_ONLINE_STORE names another

``LOOPLINE_ONLINE_STORE`` is ``redis://host:port`` or, with TLS, ``rediss://host:port``, and may end in the number of a
database, ``/1``; the password stands in ``LOOPLINE_ONLINE_STORE_PASSWORD``.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loopline.components.errors import LooplineError

SETTINGS = "feature_store.yaml"
REGISTRY = "registry.db"
ONLINE = "online.db"
ADDRESS = "LOOPLINE_ONLINE_STORE"
PASSWORD = "LOOPLINE_ONLINE_STORE_PASSWORD"  # noqa: S105 - the name of a variable
# Timeout of a request to Redis.
TIMEOUT_SECONDS = 5


def settings(project: str, folder: Path, registry: str = REGISTRY, *, to_file: bool = False) -> dict[str, Any]:
    """Feast's settings of a repository, but for its offline store.

    Args:
        project: the Feast project: the name of the use case.
        folder: its folder.
        registry: the file in it with the registry.
        to_file: whether they are written to a file, which then refers to the variable of the password.

    Raises:
        LooplineError: LOOPLINE_ONLINE_STORE is set to something that cannot be used.
    """
    return {
        "project": project,
        "provider": "local",
        "registry": str(folder / registry),
        "online_store": _online_store(folder, to_file=to_file),
        "entity_key_serialization_version": 3,
    }


def _online_store(folder: Path, *, to_file: bool) -> dict[str, Any]:
    address = os.environ.get(ADDRESS, "")
    if not address:
        return {"type": "sqlite", "path": str(folder / ONLINE)}
    return {
        "type": "redis",
        "connection_string": _connection_string(address, to_file=to_file),
        # The step compares with what is stored. Feast's own check would drop a correction with the same timestamp.
        "skip_dedup": True,
    }


def _connection_string(address: str, *, to_file: bool) -> str:
    """A Redis address in the form that Feast takes: host:port,name=value,..."""
    try:
        parts = urlsplit(address)
        host, port, database = parts.hostname, parts.port or 6379, parts.path.strip("/") or "0"
    except ValueError as error:
        raise LooplineError(f"{ADDRESS} is '{address}', which is not an address: {error}") from error
    if parts.scheme not in {"redis", "rediss"} or not host or not database.isdecimal():
        raise LooplineError(f"{ADDRESS} is '{address}'; give it as redis://host:port, or leave it out for SQLite")
    if parts.username or parts.password:
        raise LooplineError(f"{ADDRESS} contains a user or password; put the password into {PASSWORD}")
    options = {
        "db": database,
        "socket_timeout": str(TIMEOUT_SECONDS),
        "socket_connect_timeout": str(TIMEOUT_SECONDS),
        **({"ssl": "true"} if parts.scheme == "rediss" else {}),
        **_password(to_file=to_file),
    }
    return ",".join([f"{host}:{port}", *(f"{name}={value}" for name, value in options.items())])


def _password(*, to_file: bool) -> dict[str, str]:
    password = os.environ.get(PASSWORD, "")
    if "," in password:
        raise LooplineError(f"{PASSWORD} contains a comma, which Feast cannot pass to Redis; choose another password")
    if not password:
        return {}
    return {"password": f"${{{PASSWORD}}}" if to_file else password}

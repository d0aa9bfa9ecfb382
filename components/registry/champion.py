"""The champion as a release needs it: only that version gets traffic."""

from datetime import datetime
from typing import NamedTuple

from loopline.components.errors import LooplineError
from loopline.components.io import mlflow_database as database
from loopline.components.registry import aliases, promotion_log
from loopline.components.registry.client import opened


class Champion(NamedTuple):
    """A version, and since when it is champion."""

    version: int
    since: datetime


def find_champion(name: str, registry: str, version: str) -> Champion:
    """The champion, if it is the version that is asked for.

    Args:
        name: name of the model.
        registry: MLflow tracking URI.
        version: a number, or ``champion`` for whichever that is.

    Raises:
        LooplineError: another version is champion, or none.
    """
    champion, since = None, None
    if database.exists(registry):
        with opened(registry) as client:
            champion = aliases.champion(client, name)
            since = _since(promotion_log.read(client, name))
    if champion is None or since is None or version not in {aliases.CHAMPION, str(champion)}:
        known = f"version {champion} is" if champion else "there is none yet"
        raise LooplineError(
            f"version {version} of {name} is not the champion ({known}), so it gets no traffic: `loopline run "
            "validation` or `retrain` promotes a version that passes its gates"
        )
    return Champion(champion, since)


def _since(entries: list[promotion_log.Entry]) -> datetime | None:
    """When the champion became that; None where there is none."""
    changes = [entry.time for entry in entries if entry.before.champion != entry.after.champion]
    return changes[-1] if changes else None

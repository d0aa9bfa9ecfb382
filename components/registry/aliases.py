"""The MLflow aliases ``champion`` and ``previous``: what the ledger says, written where others look."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loopline.components.errors import LooplineError
from loopline.components.registry import ledger
from loopline.components.registry.client import MISSING, put, tolerating
from loopline.components.registry.versions import read_aliases

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
# What a model is registered as; it is over once the model is champion.
APPLICANTS = ("candidate", "challenger")


def settle(client: "MlflowClient", name: str) -> ledger.Standing:
    """Bring the aliases in line with the ledger, and return how things stand.

    Whoever reads or decides calls this, so a promotion that was killed after its decision is completed by the next,
    and an alias that was moved by hand is moved back. ``champion`` moves last and in one step: at no moment are there
    two, or none. Because somebody slower may have written an older outcome in the meantime, all is read again until
    nothing is left to change.
    """
    while True:
        standing = ledger.standing_after(ledger.read(client, name))
        aliases = read_aliases(client, name)
        if standing.champion is None or not _write(client, name, aliases, standing):
            return standing


def champion(client: "MlflowClient", name: str) -> int | None:
    """The champion, or None where there is none yet.

    Raises:
        LooplineError: its version was deleted from MLflow by hand.
    """
    standing = settle(client, name)
    if standing.champion and not exists(client, name, standing.champion):
        way_out = (
            "go back with `loopline rollback`"
            if standing.previous
            else f"delete {ledger.title(name)} too and start over"
        )
        raise LooplineError(f"version {standing.champion}, the champion of {name}, was deleted by hand; {way_out}")
    return standing.champion


def release(client: "MlflowClient", name: str, version: int, aliases: Mapping[str, int]) -> None:
    """Take the aliases of an applicant from a version that became champion."""
    for alias in APPLICANTS:
        if aliases.get(alias) == version:
            client.delete_registered_model_alias(name, alias)


def exists(client: "MlflowClient", name: str, version: int) -> bool:
    """Whether a version is there; people can delete one in MLflow."""
    with tolerating(MISSING):
        client.get_model_version(name, str(version))
        return True
    return False


def _write(client: "MlflowClient", name: str, aliases: Mapping[str, int], standing: ledger.Standing) -> bool:
    """Write what differs from a standing; an alias of a version that was deleted goes. Say whether anything did."""
    differs = False
    for alias, version in ((PREVIOUS, standing.previous), (CHAMPION, standing.champion)):
        if aliases.get(alias) == version:
            continue
        if version and exists(client, name, version):
            if alias == CHAMPION:
                release(client, name, version, aliases)
            put(client.set_registered_model_alias, name, alias, str(version))
            differs = True
        elif alias in aliases:
            client.delete_registered_model_alias(name, alias)
            differs = True
    return differs

"""What a registry holds: its versions, and how they came to be champion."""

from loopline.components.io import mlflow_database as database
from loopline.components.registry import aliases, ledger, versions
from loopline.components.registry.client import opened


def models(name: str, registry: str) -> list[versions.Version]:
    """The registered versions of a model, newest first; empty if there is no registry or no such model."""
    if not database.exists(registry):
        return []
    with opened(registry) as client:
        aliases.settle(client, name)
        return versions.read_all(client, name)[::-1]


def history(name: str, registry: str) -> list[ledger.Ruling]:
    """Every promotion and rollback that was decided on, oldest first, with what became of it."""
    if not database.exists(registry):
        return []
    with opened(registry) as client:
        return ledger.read(client, name)

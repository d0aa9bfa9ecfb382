"""What a registry holds: the versions of a model, and the history of its champions. Reads only."""

from loopline.components.io import mlflow_database as database
from loopline.components.registry import promotion_log, versions
from loopline.components.registry.client import opened


def models(name: str, registry: str) -> list[versions.Version]:
    """The registered versions of a model, newest first; empty if there is no registry or no such model."""
    if not database.exists(registry):
        return []
    with opened(registry) as client:
        return versions.read_all(client, name)[::-1]


def history(name: str, registry: str) -> list[promotion_log.Entry]:
    """Every promotion and rollback, oldest first, also those that were refused."""
    if not database.exists(registry):
        return []
    with opened(registry) as client:
        return promotion_log.read(client, name)


def passed_gates(name: str, registry: str, version: int) -> bool:
    """Whether a version ever passed its gates: only then its promotion is recorded, even if the champion was kept."""
    return any(
        entry.change.kind == "promotion" and entry.change.version == version for entry in history(name, registry)
    )

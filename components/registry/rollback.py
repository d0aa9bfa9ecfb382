"""Going back to the previous champion."""

from loopline.components.errors import LooplineError
from loopline.components.registry import aliases, ledger
from loopline.components.registry.client import opened


def rollback(name: str, registry: str) -> ledger.Standing:
    """Swap the champion and the previous champion; a second rollback swaps them back.

    Args:
        name: name of the model.
        registry: MLflow tracking URI.

    Returns:
        how things stand now.

    Raises:
        LooplineError: there is nothing to go back to, or the champion changed at the same moment.
    """
    with opened(registry) as client:
        rulings = ledger.read(client, name)
        standing = ledger.standing_after(rulings)
        if standing.champion is None:
            raise LooplineError(f"{name} has no champion yet, so there is nothing to roll back")
        if standing.previous is None:
            raise LooplineError(
                f"version {standing.champion} is the first champion of {name}; there is no previous one"
            )
        if not aliases.exists(client, name, standing.previous):
            raise LooplineError(
                f"version {standing.previous}, the previous champion of {name}, was deleted by hand; "
                "validate and promote another version instead"
            )
        ruling = ledger.decide(client, name, ledger.rollback(standing.previous, standing.champion, len(rulings)))
        standing = aliases.settle(client, name)
    if not ruling.holds:
        raise LooplineError(
            f"nothing was rolled back: version {ruling.before.champion} of {name} became champion at the same moment; "
            "look at `loopline models` and decide again"
        )
    return standing


def restore_champion(name: str, registry: str, version: int, stable: int) -> bool:
    """Make the version champion again that a release went back to, unless the champion changed in the meantime.

    Args:
        name: name of the model.
        registry: MLflow tracking URI.
        version: that was released and rolled back.
        stable: that serves now.

    Returns:
        whether anything changed.

    Raises:
        LooplineError: the registry cannot be used, or its champion changed at the same moment.
    """
    with opened(registry) as client:
        if aliases.settle(client, name) != ledger.Standing(version, stable):
            return False
    rollback(name, registry)
    return True

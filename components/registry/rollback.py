"""Makes the previous champion champion again."""

from loopline.components.errors import LooplineError
from loopline.components.registry import aliases, promotion_log
from loopline.components.registry.client import opened
from loopline.components.registry.promotion_log import ChampionState


def rollback(name: str, registry: str, *, reason: str = "", by: str = "") -> ChampionState:
    """Swap the champion and the previous champion; a second rollback swaps them back.

    Args:
        name: name of the model.
        registry: MLflow tracking URI.
        reason: why, for the promotion log.
        by: the run, or the person, that rolls back, for the promotion log.

    Returns:
        the champion and the previous one now.

    Raises:
        LooplineError: there is no previous champion, or the champion changed at the same moment.
    """
    with opened(registry) as client:
        entries = promotion_log.read(client, name)
        state = promotion_log.state_after(entries)
        if state.champion is None:
            raise LooplineError(f"{name} has no champion yet, so there is nothing to roll back")
        if state.previous is None:
            raise LooplineError(f"version {state.champion} is the first champion of {name}; there is no previous one")
        if not aliases.exists(client, name, state.previous):
            raise LooplineError(
                f"version {state.previous}, the previous champion of {name}, was deleted by hand; "
                "validate and promote another version instead"
            )
        change = promotion_log.rollback(state.previous, state.champion, len(entries), reason=reason, by=by)
        entry = promotion_log.append(client, name, change)
        state = aliases.reconcile(client, name)
    if not entry.accepted:
        raise LooplineError(
            f"nothing was rolled back: version {entry.before.champion} of {name} became champion at the same moment; "
            "look at `loopline models --history` and decide again"
        )
    return state


def restore_champion(name: str, registry: str, version: int, stable: int, *, by: str = "") -> bool:
    """Make the version champion again that a release rolled back to, unless the champion changed in the meantime.

    Args:
        name: name of the model.
        registry: MLflow tracking URI.
        version: the version that was released and rolled back.
        stable: the version that serves now.
        by: the run of the release, for the promotion log.

    Returns:
        whether anything changed.

    Raises:
        LooplineError: the registry cannot be used, or its champion changed at the same moment.
    """
    with opened(registry) as client:
        if aliases.reconcile(client, name) != ChampionState(version, stable):
            return False
    rollback(name, registry, reason=f"the release of version {version} was rolled back", by=by)
    return True

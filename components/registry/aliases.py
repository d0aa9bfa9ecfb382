"""The MLflow aliases ``champion`` and ``previous``, which follow the promotion log."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loopline.components.errors import LooplineError
from loopline.components.registry import promotion_log
from loopline.components.registry.client import MISSING, put, tolerating
from loopline.components.registry.promotion_log import ChampionState

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
# What a model is registered as; it loses them when it becomes champion.
REGISTERED_AS = ("candidate", "challenger")


def read_mlflow(client: "MlflowClient", name: str) -> dict[str, int]:
    """Version by alias as MLflow has it; empty if there is no such model."""
    with tolerating(MISSING):
        return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}
    return {}


def read(client: "MlflowClient", name: str) -> dict[str, int]:
    """Version by alias as it follows from the promotion log. Reads only.

    MLflow's own aliases are behind it where a promotion was killed before it moved them, or a person moved one.
    """
    return _wanted(client, name, read_mlflow(client, name), _state(client, name))


def reconcile(client: "MlflowClient", name: str) -> ChampionState:
    """Bring MLflow's aliases in line with the promotion log, and return who is champion.

    Everything that changes a registry calls this, so the next change completes a promotion that was killed after it
    was logged. ``champion`` moves last and in one step: at no moment are there two, or none. A slower process may
    write an older state in the meantime, so this reads again until there is nothing left to change.
    """
    while True:
        state = _state(client, name)
        actual = read_mlflow(client, name)
        wanted = _wanted(client, name, actual, state)
        if wanted == actual:
            return state
        for alias in actual.keys() - wanted.keys():
            client.delete_registered_model_alias(name, alias)
        for alias in sorted(wanted, key=lambda alias: alias == CHAMPION):
            if actual.get(alias) != wanted[alias]:
                put(client.set_registered_model_alias, name, alias, str(wanted[alias]))


def champion(client: "MlflowClient", name: str) -> int | None:
    """The champion, or None where there is none yet. Reads only.

    Raises:
        LooplineError: a person deleted its version from MLflow.
    """
    state = _state(client, name)
    if state.champion and not exists(client, name, state.champion):
        remedy = (
            "go back with `loopline rollback`"
            if state.previous
            else f"delete {promotion_log.log_name(name)} too and start over"
        )
        raise LooplineError(f"version {state.champion}, the champion of {name}, was deleted by hand; {remedy}")
    return state.champion


def clear_registered_as(client: "MlflowClient", name: str, version: int) -> None:
    """Take the aliases candidate and challenger from a version."""
    aliases = read_mlflow(client, name)
    for alias in REGISTERED_AS:
        if aliases.get(alias) == version:
            client.delete_registered_model_alias(name, alias)


def exists(client: "MlflowClient", name: str, version: int) -> bool:
    """Whether a version is there; people can delete one in MLflow."""
    with tolerating(MISSING):
        client.get_model_version(name, str(version))
        return True
    return False


def _state(client: "MlflowClient", name: str) -> ChampionState:
    return promotion_log.state_after(promotion_log.read(client, name))


def _wanted(client: "MlflowClient", name: str, actual: Mapping[str, int], state: ChampionState) -> dict[str, int]:
    """The aliases that a model should have; a deleted version has none."""
    if state.champion is None:
        return dict(actual)
    is_new = actual.get(CHAMPION) != state.champion
    kept = {
        alias: version
        for alias, version in actual.items()
        if alias not in {CHAMPION, PREVIOUS} and not (is_new and alias in REGISTERED_AS and version == state.champion)
    }
    logged = {
        alias: version
        for alias, version in ((CHAMPION, state.champion), (PREVIOUS, state.previous))
        if version and (actual.get(alias) == version or exists(client, name, version))
    }
    return {**kept, **logged}

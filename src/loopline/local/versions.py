"""Model versions by alias, in the registry of a workspace."""

from collections.abc import Mapping

from loopline.compiler import parameters
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.local.workspace import Workspace


def resolve_versions(pipeline: str, values: Mapping[str, str], case: UseCase, workspace: Workspace) -> dict[str, str]:
    """Resolve aliases such as ``champion`` to version numbers: a run is about one model.

    Raises:
        LooplineError: no model has that alias.
    """
    resolved = dict(values)
    named = parameters.aliases(pipeline, values)
    if not named:
        return resolved
    from loopline.components.registry.fetch import resolve

    for alias in set(named.values()):
        version = resolve(case.spec.name, workspace.registry, alias)
        if version is None:
            first = "training" if alias == "candidate" else "validation"
            raise LooplineError(f"no model of {case.spec.name} is {alias} yet; run `loopline run {first}` first")
        resolved.update({key: str(version) for key in named if named[key] == alias})
    return resolved

"""Fetching a registered model: by number or alias, checked against the digest that it was registered with."""

from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import atomic
from loopline.components.io import mlflow_database as database
from loopline.components.registry import files, versions
from loopline.components.registry.aliases import CHAMPION, PREVIOUS, champion, settle
from loopline.components.registry.client import opened


def fetch_model(usecase: str, registry: str, version: str, path: Path | str) -> Model:
    """Copy a registered model out of the registry.

    Args:
        usecase: package of the use case.
        registry: MLflow tracking URI.
        version: a number, or an alias such as ``champion``.
        path: the folder to make.

    Raises:
        LooplineError: no such registry, version or alias; the message lists what there is.
        CorruptArtifactError: the stored files are missing, or not those that were registered.
    """
    name = load(usecase).spec.name
    path = Path(path)
    with opened(registry) as client:
        if version == CHAMPION:
            champion(client, name)
        elif version == PREVIOUS:
            settle(client, name)
        found = versions.find(client, name, version)
        with atomic.new_folder(path) as folder:
            files.copy_out(client, registry, found.run, folder)
            _verify(folder, name, found)
    return Model.open(path, verify=False)


def resolve(name: str, registry: str, alias: str) -> int | None:
    """The number of the version that an alias points to, or None where nothing has it.

    Raises:
        LooplineError: the registry cannot be read, or the champion was deleted by hand.
    """
    if not database.exists(registry):
        return None
    with opened(registry) as client:
        if alias == CHAMPION:
            return champion(client, name)
        if alias == PREVIOUS:
            settle(client, name)
        return versions.read_aliases(client, name).get(alias)


def _verify(folder: Path, name: str, version: versions.Version) -> None:
    """Check the copy, which is as good as what is stored.

    Raises:
        CorruptArtifactError: it is not what was registered.
    """
    try:
        digest = Model.open(folder).digest
    except LooplineError as error:
        digest = str(error)
    if digest != version.digest:
        raise CorruptArtifactError(
            f"the files that the registry holds of version {version.version} of {name} are not those that were "
            f"registered ({version.digest[:19]}); put them back from a backup, or use another version"
        )

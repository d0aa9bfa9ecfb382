"""Fetches a registered model by number or alias, and checks it against the digest that it was registered with."""

from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import atomic
from loopline.components.io import mlflow_database as database
from loopline.components.registry import aliases, files, versions
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
        if version == aliases.CHAMPION:
            aliases.champion(client, name)
        found = versions.find(client, name, version)
        with atomic.new_folder(path) as folder:
            files.copy_out(client, registry, found.run, folder)
            _verify(folder, name, found)
    return Model.open(path, verify=False)


def resolve(name: str, registry: str, alias: str) -> int | None:
    """The number of the version that an alias points to, or None if none has it. Reads only.

    Raises:
        LooplineError: the registry cannot be read, or the champion was deleted by hand.
    """
    if not database.exists(registry):
        return None
    with opened(registry) as client:
        if alias == aliases.CHAMPION:
            return aliases.champion(client, name)
        return aliases.read(client, name).get(alias)


def _verify(folder: Path, name: str, version: versions.Version) -> None:
    """Check the fetched copy, and so what is stored.

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

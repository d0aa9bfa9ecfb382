"""Where the pods of an endpoint fetch a version's model from."""

import tempfile
from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError
from loopline.components.io import digest, storage


def upload_model(model: Model, uri: str) -> None:
    """Put a model repository at the place that its pods will fetch it from; what lies there already has to be the same.

    Args:
        model: the package.
        uri: of the repository, such as ``s3://bucket/models/flights/8/repository``.

    Raises:
        LooplineError: another model lies there, or the place cannot be used.
    """
    repository = model.path / "repository"
    wanted = digest.of_files(repository)
    there: dict[str, str] = {}
    if storage.names(uri):
        with tempfile.TemporaryDirectory() as folder:
            there = digest.of_files(storage.fetch(uri, Path(folder)))
    if not there.items() <= wanted.items():
        raise LooplineError(
            f"{uri} holds another model than the one that is registered ({model.digest[:19]}): remove what lies there, "
            "or name another place in the endpoint's storageUri"
        )
    if there != wanted:  # nothing, or what somebody left who was killed
        storage.put(repository, uri)

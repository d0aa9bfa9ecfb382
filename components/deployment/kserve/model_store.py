"""Upload a model to where the pods of an endpoint fetch it from."""

import tempfile
from pathlib import Path

from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError
from loopline.components.io import digest, storage


def upload_model(model: Model, uri: str) -> None:
    """Upload the repository of a model to a URI, unless it is there already.

    Args:
        model: the package.
        uri: of the repository, such as ``s3://bucket/models/flights/8/repository``.

    Raises:
        LooplineError: another model is there, or it cannot be read or written.
    """
    repository = model.path / "repository"
    wanted = digest.of_files(repository)
    there: dict[str, str] = {}
    if storage.names(uri):
        with tempfile.TemporaryDirectory() as folder:
            there = digest.of_files(storage.fetch(uri, Path(folder)))
    if not there.items() <= wanted.items():
        raise LooplineError(
            f"{uri} holds another model than the one that is registered ({model.digest[:19]}): delete it, or change "
            "the endpoint's storageUri"
        )
    if there != wanted:  # empty, or an upload that was interrupted
        storage.put(repository, uri)

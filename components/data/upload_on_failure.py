"""Uploading the outputs of a step that fails: KFP uploads only those of a step that succeeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from loopline.components.errors import LooplineError
from loopline.components.io import storage


class Artifact(Protocol):
    """A KFP output: where the step writes it, and where KFP uploads it to if the step succeeds."""

    path: str
    uri: str


@contextmanager
def upload_on_failure(*artifacts: Artifact) -> Iterator[None]:
    """Upload outputs to their URIs if the block raises a LooplineError: KFP leaves them in the pod, which is deleted.

    Where the URI is a path, as on a laptop, they are there already.

    Raises:
        LooplineError: the error, with the URIs of the outputs.
    """
    try:
        yield
    except LooplineError as error:
        written = [a for a in artifacts if storage.is_remote(a.uri) and Path(a.path).exists()]
        for artifact in written:
            storage.put(Path(artifact.path), artifact.uri)
        if not written:
            raise
        raise LooplineError(f"{error}; uploaded to {' and '.join(a.uri for a in written)}") from error

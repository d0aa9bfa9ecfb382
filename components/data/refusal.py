"""What a step that refuses its input still has to leave behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from loopline.components.errors import LooplineError
from loopline.components.io import storage


class Artifact(Protocol):
    """A KFP output: where the step writes it, and where it is taken up to if the step succeeds."""

    path: str
    uri: str


@contextmanager
def kept_on_refusal(*artifacts: Artifact) -> Iterator[None]:
    """Take outputs up to their URIs if the block refuses: KFP leaves them in the pod, which goes away.

    Where the URI is a path, as on a laptop, they lie there already.

    Raises:
        LooplineError: the refusal, with where the outputs are kept.
    """
    try:
        yield
    except LooplineError as refusal:
        written = [a for a in artifacts if storage.is_remote(a.uri) and Path(a.path).exists()]
        for artifact in written:
            storage.put(Path(artifact.path), artifact.uri)
        if not written:
            raise
        raise LooplineError(f"{refusal}; kept in {' and '.join(a.uri for a in written)}") from refusal

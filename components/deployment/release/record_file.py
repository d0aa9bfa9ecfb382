"""The record of an endpoint's release as a file, stored only over the generation that it was made from.

Layout::

    <folder>/release.json               the release under way, or the last one
    <folder>/ended/<generation>.json    those before it

One folder per endpoint. A lock on the folder makes comparing and storing one step for all processes of a machine.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopline.components.deployment.release.record import Record, expect_next
from loopline.components.errors import LooplineError
from loopline.components.io import atomic

FILE = "release.json"
ENDED = "ended"
_LOCK = ".lock"


class RecordFile:
    """The record of one endpoint.

    Args:
        folder: of this endpoint alone; made when it is first stored.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE

    def read(self) -> Record | None:
        """The release under way, or the last one; None before the first.

        Raises:
            LooplineError: the file is no record, or cannot be read.
        """
        try:
            return Record.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LooplineError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise LooplineError(
                f"{self.path} is no record of a release ({' '.join(str(error).split())[:200]}): restore it from a "
                "copy, or give all traffic to the stable and move the file away"
            ) from error

    def store(self, record: Record) -> None:
        """Store the next generation of the record, or a new release after one that is over.

        Raises:
            LooplineError: another process changed the record in between, or the file cannot be written; nothing was
                stored.
        """
        with self._locked():
            stored = self.read()
            expect_next(record, stored)
            if stored and not _continues(record, stored):
                if stored.outcome is None:
                    raise LooplineError(f"{self.path} holds a release that is not over: what happened cannot be unsaid")
                atomic.write_text(self._folder / ENDED / f"{stored.generation}.json", _text(stored))
            atomic.write_text(self.path, _text(record))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise LooplineError(
                f"{self.path} cannot be written, and is as it was: {error.strerror or error}; "
                "make its folder one that can be written, and run the same command again"
            ) from error


def _continues(record: Record, stored: Record) -> bool:
    """Whether one is the other with more appended to it."""
    changing = {"events", "owner", "lease", "generation"}
    same = record.model_dump(exclude=changing) == stored.model_dump(exclude=changing)
    return same and record.events[: len(stored.events)] == stored.events


def _text(record: Record) -> str:
    return record.model_dump_json(indent=1) + "\n"

"""The record of an endpoint's release in a file.

Layout::

    <folder>/release.json               the current or last release
    <folder>/ended/<generation>.json    earlier releases

One folder per endpoint. A lock on the folder makes compare and swap atomic for all processes of a machine.
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
        folder: of this endpoint alone; created with the first record.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE

    def read(self) -> Record | None:
        """The current or last release; None before the first.

        Raises:
            LooplineError: the file cannot be read, or is not a record.
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
                "copy, or give all traffic to the stable version and move the file away"
            ) from error

    def store(self, record: Record) -> None:
        """Store the next generation of the record, or a new release after one that is over.

        Raises:
            LooplineError: another process changed the record meanwhile, or the file cannot be written; nothing was
                stored.
        """
        with self._locked():
            stored = self.read()
            expect_next(record, stored)
            if stored and not _continues(record, stored):
                if stored.outcome is None:
                    raise LooplineError(f"{self.path} holds a release that is not over: it can only be appended to")
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
                f"{self.path} cannot be written and is unchanged: {error.strerror or error}; "
                "make its folder writable, and run the same command again"
            ) from error


def _continues(record: Record, stored: Record) -> bool:
    """Whether a record is the stored one with events appended, or with another owner or lease."""
    changing = {"events", "owner", "lease", "generation"}
    same = record.model_dump(exclude=changing) == stored.model_dump(exclude=changing)
    return same and record.events[: len(stored.events)] == stored.events


def _text(record: Record) -> str:
    return record.model_dump_json(indent=1) + "\n"

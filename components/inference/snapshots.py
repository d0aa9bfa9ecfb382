"""Published predictions on a disk: whole snapshots, of which readers see one at a time.

Layout::

    <root>/current                                    -> snapshots/<number>, replaced by one rename
    <root>/snapshots/<number>/<partition>/<file>      the current snapshot and the one before it

All that touches the disk is here, and nothing here knows what is stored.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest

CURRENT = "current"
FOLDER = "snapshots"
LOCK = ".lock"


class Snapshots:
    """The snapshots under one folder.

    A reader that opens several files resolves ``current`` once and reads below what it found: that snapshot stays until
    the second replacement after it.

    Args:
        root: a folder on this machine, made when it is first written.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)
        self._folder = self._root / FOLDER

    @property
    def link(self) -> Path:
        """Where readers look."""
        return self._root / CURRENT

    @property
    def current(self) -> Path | None:
        """The snapshot that readers see; None before the first."""
        if not self.link.is_dir():
            return None
        return self._folder / self.link.readlink().name

    def replace(self, partitions: Collection[str], write: Callable[[Path], None]) -> str:
        """Let readers see some partitions anew, all at once; the others stay as they are.

        One writer at a time; another waits. What a killed one left is removed. If the bytes are what readers see
        already, nothing changes.

        Args:
            partitions: names of those that are replaced; one that is not written again is gone.
            write: writes partitions into the empty folder that it is given.

        Returns:
            The name of the snapshot that readers now see.

        Raises:
            LooplineError: the root cannot be written or the disk is full; readers see what they saw before.
        """
        with self._explained(), self._locked():
            former = self.current
            self._tidy(former)
            name = f"{self._last_number() + 1:06}"
            new = self._folder / f"{name}{atomic.PARTIAL}new"
            new.mkdir()
            try:
                write(new)
                if former is None or contents(new) != contents(former, partitions):
                    for kept in _partitions(former):
                        if kept.name not in partitions:
                            shutil.copytree(kept, new / kept.name, copy_function=_link_or_copy)
                    former = new.rename(self._folder / name)
                    self._show(former)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            self._tidy(former)
            return former.name

    def _show(self, snapshot: Path) -> None:
        link = self._folder / f"{CURRENT}{atomic.PARTIAL}new"
        link.symlink_to(Path(FOLDER) / snapshot.name)
        link.replace(self.link)

    def _tidy(self, current: Path | None) -> None:
        """Remove what killed writers left, and, oldest first, all snapshots but the current one and the one before."""
        atomic.remove_leftovers(self._folder)
        if current:
            before = [snapshot for snapshot in self._numbered() if snapshot.name < current.name]
            for snapshot in self._numbered():
                if snapshot not in (current, *before[-1:]):
                    shutil.rmtree(snapshot, ignore_errors=True)

    def _last_number(self) -> int:
        return max((int(path.name) for path in self._numbered()), default=0)

    def _numbered(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.name.isdigit())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the root alone. The operating system lets go for a process that is killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._root / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if atomic.is_disk_full(error):
                why, remedy = "the disk is full", "free some space and run again"
            else:
                why = f"{self._root} cannot be written ({error.strerror or error})"
                remedy = "give a destination that this user may write"
            raise LooplineError(f"{why}: nothing was published and {self.link} is as it was; {remedy}") from error


def contents(snapshot: Path, chosen: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """Digests of the files in all partitions of a snapshot, or in the chosen ones, by partition."""
    return {p.name: digest.of_files(p) for p in _partitions(snapshot) if chosen is None or p.name in chosen}


def _partitions(snapshot: Path | None) -> list[Path]:
    return sorted(path for path in snapshot.iterdir() if path.is_dir()) if snapshot else []


def _link_or_copy(source: str, target: str) -> None:
    """A second name for the same bytes, where the file system has such a thing."""
    try:
        os.link(source, target)
    except OSError as error:
        if atomic.is_disk_full(error):
            raise
        shutil.copy2(source, target)

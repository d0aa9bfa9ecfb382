"""Snapshots of published predictions on a disk: a writer makes a whole one, and readers see one at a time.

Layout::

    <root>/current                                    -> snapshots/<number>, a symlink replaced by one rename
    <root>/snapshots/<number>/<partition>/<file>      the current snapshot and the previous one
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

    A reader of several files resolves ``current`` once and reads all of them from that snapshot, which is kept until it
    has been replaced twice.

    Args:
        root: a folder on this machine; the first write creates it.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)
        self._folder = self._root / FOLDER

    @property
    def link(self) -> Path:
        """What readers open: the symlink to the current snapshot."""
        return self._root / CURRENT

    @property
    def current(self) -> Path | None:
        """The snapshot that readers see; None if nothing has been published."""
        if not self.link.is_dir():
            return None
        return self._folder / self.link.readlink().name

    def replace(self, partitions: Collection[str], write: Callable[[Path], None]) -> str:
        """Replace some partitions atomically; the others are kept.

        Writers take turns. Files that a killed writer left are removed. Nothing changes if the new bytes equal the
        current ones.

        Args:
            partitions: names of the partitions to replace; one that ``write`` does not write is removed.
            write: writes partitions into the empty folder that it is given.

        Returns:
            The name of the current snapshot.

        Raises:
            LooplineError: the root cannot be written or the disk is full; the current snapshot is unchanged.
        """
        with self._os_errors(), self._locked():
            current = self.current
            self._prune(current)
            name = f"{self._last_number() + 1:06}"
            new = self._folder / f"{name}{atomic.PARTIAL}new"
            new.mkdir()
            try:
                write(new)
                if current is None or contents(new) != contents(current, partitions):
                    for kept in _partitions(current):
                        if kept.name not in partitions:
                            shutil.copytree(kept, new / kept.name, copy_function=_link_or_copy)
                    current = new.rename(self._folder / name)
                    self._point_to(current)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            self._prune(current)
            return current.name

    def _point_to(self, snapshot: Path) -> None:
        link = self._folder / f"{CURRENT}{atomic.PARTIAL}new"
        link.symlink_to(Path(FOLDER) / snapshot.name)
        link.replace(self.link)

    def _prune(self, current: Path | None) -> None:
        """Remove what killed writers left and, oldest first, all snapshots but the current and the previous one."""
        atomic.remove_leftovers(self._folder)
        if current:
            earlier = [snapshot for snapshot in self._numbered() if snapshot.name < current.name]
            for snapshot in self._numbered():
                if snapshot not in (current, *earlier[-1:]):
                    shutil.rmtree(snapshot, ignore_errors=True)

    def _last_number(self) -> int:
        return max((int(path.name) for path in self._numbered()), default=0)

    def _numbered(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.name.isdigit())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock out other writers. The operating system releases the lock of a process that is killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._root / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if atomic.is_disk_full(error):
                problem, remedy = "the disk is full", "free some space and run again"
            else:
                problem = f"{self._root} cannot be written ({error.strerror or error})"
                remedy = "choose a destination that this user may write"
            raise LooplineError(f"{problem}: nothing was published and {self.link} is unchanged; {remedy}") from error


def contents(snapshot: Path, names: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """Digests of the files in all partitions of a snapshot, or in some of them, by partition."""
    return {p.name: digest.of_files(p) for p in _partitions(snapshot) if names is None or p.name in names}


def _partitions(snapshot: Path | None) -> list[Path]:
    return sorted(path for path in snapshot.iterdir() if path.is_dir()) if snapshot else []


def _link_or_copy(source: str, target: str) -> None:
    """Hard-link a file, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if atomic.is_disk_full(error):
            raise
        shutil.copy2(source, target)

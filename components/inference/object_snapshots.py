"""Published predictions in an object store: whole snapshots, of which readers see one at a time, as on a disk.

Layout::

    <root>/current.json                               which snapshot readers see, and the digests of its files
    <root>/snapshots/<number>-<id>/<partition>/<file>   the current snapshot and the one before it

An object store has neither renames nor locks. So nobody writes where another does, and ``current.json`` is replaced on
condition that it is still the one that was built upon; a writer who comes too late builds again.
"""

import json
import tempfile
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.components.inference.snapshots import FOLDER, contents
from loopline.components.io import conditional_put, storage

POINTER = "current.json"
FORMAT = "loopline.snapshot/1"
# How often a writer builds anew because another was faster.
ATTEMPTS = 8


@dataclass(frozen=True)
class Shown:
    """What readers see: the snapshot, the one before it, and the digests of the files by partition."""

    snapshot: str
    before: str
    partitions: Mapping[str, Mapping[str, str]]


class ObjectSnapshots:
    """The snapshots under one prefix of an object store.

    A reader reads ``current.json`` once and then below the snapshot that it names: that one stays until the second
    replacement after it.

    Args:
        root: ``s3://bucket/prefix``.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    @property
    def link(self) -> str:
        """Where readers look."""
        return f"{self._root}/{POINTER}"

    @property
    def current(self) -> str | None:
        """The URI of the snapshot that readers see; None before the first.

        Raises:
            LooplineError: the store cannot be read, or ``current.json`` is damaged.
        """
        shown, _ = self._read()
        return self._place(shown.snapshot) if shown else None

    def replace(self, partitions: Collection[str], write: Callable[[Path], None]) -> str:
        """Let readers see some partitions anew, all at once; the others stay as they are.

        If the bytes are what readers see already, nothing changes. What killed writers left is removed by the next.

        Args:
            partitions: names of those that are replaced; one that is not written again is gone.
            write: writes partitions into the empty local folder that it is given.

        Returns:
            The name of the snapshot that readers now see.

        Raises:
            LooplineError: the store cannot be written, or others were faster all the time; readers see what they saw.
        """
        with tempfile.TemporaryDirectory(prefix="loopline-snapshot-") as folder:
            new = Path(folder)
            write(new)
            fresh = contents(new)
            for _ in range(ATTEMPTS):
                shown, tag = self._read()
                if shown and self._is_shown(shown, partitions, fresh):
                    return shown.snapshot
                kept = {n: files for n, files in shown.partitions.items() if n not in partitions} if shown else {}
                coming = Shown(self._new_name(shown), shown.snapshot if shown else "", {**kept, **fresh})
                if self._build(coming, kept, new, tag) and self._show(coming, tag):
                    self._tidy(coming)
                    return coming.snapshot
                storage.remove(self._place(coming.snapshot))
        raise LooplineError(
            f"others published to {self._root} {ATTEMPTS} times while this was being written: "
            "nothing of it was published; run again"
        )

    def _read(self) -> tuple[Shown | None, str | None]:
        found = conditional_put.read(self.link)
        if found is None:
            return None, None
        content, tag = found
        try:
            raw = json.loads(content)
            if raw.pop("format") != FORMAT:
                raise ValueError("its format is another one")
            return Shown(**raw), tag
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LooplineError(
                f"{self.link} is damaged ({error}): put it back from a backup, or delete it and publish again"
            ) from error

    def _build(self, coming: Shown, kept: Mapping[str, Mapping[str, str]], new: Path, tag: str | None) -> bool:
        """Write a snapshot that nobody sees; False if what it builds upon has gone, because others turned readers."""
        storage.put(new, self._place(coming.snapshot))
        try:
            files = [f"{name}/{file}" for name, digests in kept.items() for file in digests]
            storage.copy(self._place(coming.before), self._place(coming.snapshot), files)
        except LooplineError:
            if self._read()[1] == tag:
                raise
            return False
        return True

    def _show(self, coming: Shown, tag: str | None) -> bool:
        """Turn readers to a snapshot; False if somebody else has turned them in between."""
        content = json.dumps({"format": FORMAT, **asdict(coming)}, indent=1)
        return bool(conditional_put.replace(self.link, content.encode(), tag))

    def _is_shown(self, shown: Shown, partitions: Collection[str], fresh: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether readers see just this in the given partitions, and its objects are still there."""
        if {name: files for name, files in shown.partitions.items() if name in partitions} != fresh:
            return False
        expected = {f"{name}/{file}" for name, files in shown.partitions.items() for file in files}
        return expected <= set(storage.names(self._place(shown.snapshot)))

    def _tidy(self, shown: Shown) -> None:
        """Remove snapshots of our number or below, but the one shown and the one before it.

        What lies there and is not of the past is of a writer whose condition has failed through ours; one who builds
        upon ours has a higher number.
        """
        own = _number(shown.snapshot)
        for name in self._snapshots():
            if _number(name) <= own and name not in (shown.snapshot, shown.before):
                storage.remove(self._place(name))

    def _new_name(self, shown: Shown | None) -> str:
        """A name of its own, with a number above all that are there: who builds later, has the higher one."""
        taken = [*self._snapshots(), *([shown.snapshot] if shown else [])]
        return f"{max(map(_number, taken), default=0) + 1:06}-{uuid.uuid4().hex[:8]}"

    def _snapshots(self) -> list[str]:
        names = {name.partition("/")[0] for name in storage.names(f"{self._root}/{FOLDER}")}
        return sorted(name for name in names if name.partition("-")[0].isdigit())

    def _place(self, snapshot: str) -> str:
        return f"{self._root}/{FOLDER}/{snapshot}"


def _number(snapshot: str) -> int:
    return int(snapshot.partition("-")[0])

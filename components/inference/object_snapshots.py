"""Snapshots of published predictions in an object store, with the same guarantees to readers as on a disk.

Layout::

    <root>/current.json                                 names the current snapshot, with the digests of its files
    <root>/snapshots/<number>-<id>/<partition>/<file>   the current snapshot and the previous one

An object store has neither renames nor locks. So every writer uses a prefix of its own, and replaces ``current.json``
by a conditional put, which fails if another writer has replaced it in between. A writer that was second starts over.
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

CURRENT = "current.json"
FORMAT = "loopline.snapshot/1"
# How often a writer starts over because another one was first.
ATTEMPTS = 8


@dataclass(frozen=True)
class Current:
    """The content of ``current.json``.

    Attributes:
        snapshot: name of the current snapshot. ``before``: of the previous one; empty if there is none.
        partitions: digests of the files of the current snapshot, by partition.
    """

    snapshot: str
    before: str
    partitions: Mapping[str, Mapping[str, str]]


class ObjectSnapshots:
    """The snapshots under one prefix of an object store.

    A reader reads ``current.json`` once and then the snapshot that it names, which is kept until it has been replaced
    twice.

    Args:
        root: ``s3://bucket/prefix``.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    @property
    def link(self) -> str:
        """What readers open: the URI of ``current.json``."""
        return f"{self._root}/{CURRENT}"

    @property
    def current(self) -> str | None:
        """The URI of the snapshot that readers see; None if nothing has been published.

        Raises:
            LooplineError: the store cannot be read, or ``current.json`` is damaged.
        """
        current, _ = self._read()
        return self._uri(current.snapshot) if current else None

    def replace(self, partitions: Collection[str], write: Callable[[Path], None]) -> str:
        """Replace some partitions atomically; the others are kept.

        If the new bytes equal the current ones, nothing changes. Objects that a killed writer left are removed by the
        next one.

        Args:
            partitions: names of the partitions to replace; one that ``write`` does not write is removed.
            write: writes partitions into the empty local folder that it is given.

        Returns:
            The name of the current snapshot.

        Raises:
            LooplineError: the store cannot be written, or other writers were first each time; nothing was published.
        """
        with tempfile.TemporaryDirectory(prefix="loopline-snapshot-") as folder:
            written = Path(folder)
            write(written)
            digests = contents(written)
            for _ in range(ATTEMPTS):
                current, etag = self._read()
                if current and self._is_current(current, partitions, digests):
                    return current.snapshot
                kept = {n: files for n, files in current.partitions.items() if n not in partitions} if current else {}
                new = Current(self._new_name(current), current.snapshot if current else "", {**kept, **digests})
                if self._upload(new, kept, written, etag) and self._make_current(new, etag):
                    self._prune(new)
                    return new.snapshot
                storage.remove(self._uri(new.snapshot))
        raise LooplineError(
            f"others published to {self._root} {ATTEMPTS} times while this step was writing: "
            "nothing of it was published; run it again"
        )

    def _read(self) -> tuple[Current | None, str | None]:
        found = conditional_put.read(self.link)
        if found is None:
            return None, None
        content, etag = found
        try:
            raw = json.loads(content)
            if raw.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            return Current(**raw), etag
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LooplineError(
                f"{self.link} is damaged ({error}): restore it from a backup, or delete it and publish again"
            ) from error

    def _upload(self, new: Current, kept: Mapping[str, Mapping[str, str]], written: Path, etag: str | None) -> bool:
        """Write the files of a snapshot; False if other writers have removed the one that partitions are kept from."""
        storage.put(written, self._uri(new.snapshot))
        try:
            files = [f"{name}/{file}" for name, digests in kept.items() for file in digests]
            storage.copy(self._uri(new.before), self._uri(new.snapshot), files)
        except LooplineError:
            if self._read()[1] == etag:
                raise
            return False
        return True

    def _make_current(self, new: Current, etag: str | None) -> bool:
        """Replace ``current.json``; False if another writer has replaced it since it was read."""
        content = json.dumps({"format": FORMAT, **asdict(new)}, indent=1)
        return bool(conditional_put.replace(self.link, content.encode(), etag))

    def _is_current(
        self, current: Current, partitions: Collection[str], digests: Mapping[str, Mapping[str, str]]
    ) -> bool:
        """Whether the current snapshot has exactly these bytes in the given partitions, and all of its objects."""
        if {name: files for name, files in current.partitions.items() if name in partitions} != digests:
            return False
        expected = {f"{name}/{file}" for name, files in current.partitions.items() for file in files}
        return expected <= set(storage.names(self._uri(current.snapshot)))

    def _prune(self, current: Current) -> None:
        """Remove the snapshots up to our number, but the current and the previous one.

        Those that are not old belong to writers whose conditional put must fail because of ours; a writer that starts
        from our snapshot has a higher number.
        """
        own = _number(current.snapshot)
        for name in self._snapshots():
            if _number(name) <= own and name not in (current.snapshot, current.before):
                storage.remove(self._uri(name))

    def _new_name(self, current: Current | None) -> str:
        """A unique name with a number above all existing ones, so that later writers have higher numbers."""
        taken = [*self._snapshots(), *([current.snapshot] if current else [])]
        return f"{max(map(_number, taken), default=0) + 1:06}-{uuid.uuid4().hex[:8]}"

    def _snapshots(self) -> list[str]:
        names = {name.partition("/")[0] for name in storage.names(f"{self._root}/{FOLDER}")}
        return sorted(name for name in names if name.partition("-")[0].isdigit())

    def _uri(self, snapshot: str) -> str:
        return f"{self._root}/{FOLDER}/{snapshot}"


def _number(snapshot: str) -> int:
    return int(snapshot.partition("-")[0])

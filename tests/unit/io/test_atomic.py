"""Atomic writes: the old content or the new, whatever fails or is killed when."""

import errno
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopline.components.errors import LooplineError
from loopline.components.io import atomic

FULL = Path("/dev/full")  # a device on which every write fails for want of space, as the kernel says it
needs_full = pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no /dev/full")


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if atomic.PARTIAL in path.name]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic.new_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert leftovers(path.parent) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic.new_folder(path) as partial:
            (partial / name).touch()
    assert [file.name for file in path.iterdir()] == ["second"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path, stop: type[BaseException]) -> None:
    atomic.write_text(tmp_path / "file", "old")
    atomic.write_text(tmp_path / "folder" / "file", "old")
    with pytest.raises(stop), atomic.new_file(tmp_path / "file") as partial:  # noqa: PT012 - the block is the subject
        partial.write_text("new")
        raise stop
    with pytest.raises(stop), atomic.new_folder(tmp_path / "folder") as partial:  # noqa: PT012
        (partial / "file").write_text("new")
        raise stop
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "old"
    assert leftovers(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from loopline.components.io import atomic
with getattr(atomic, sys.argv[1])(Path(sys.argv[2])) as partial:
    (partial / "file" if partial.is_dir() else partial).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("writer", ["new_file", "new_folder"])
@pytest.mark.parametrize("old", [True, False])
def test_a_killed_writer_leaves_only_a_partial_thing_that_can_be_swept(tmp_path: Path, writer: str, old: bool) -> None:
    target = tmp_path / "target"
    content = target / "file" if writer == "new_folder" else target
    if old:
        atomic.write_text(content, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, writer, str(target)], cwd=Path.cwd(), check=False)
    assert killed.returncode == -9
    assert content.exists() == old
    if old:
        assert content.read_text() == "old"
    assert len(leftovers(tmp_path)) == 1
    assert atomic.remove_leftovers(tmp_path) == 1
    assert leftovers(tmp_path) == []
    assert content.exists() == old


@needs_full
def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "file", "old")
    with pytest.raises(LooplineError) as error, atomic.new_file(tmp_path / "file") as partial:  # noqa: PT012
        partial.write_text("new")
        FULL.write_text("new")
    assert f"the disk is full: {tmp_path / 'file'} could not be written" in str(error.value)
    assert (tmp_path / "file").read_text() == "old"
    assert leftovers(tmp_path) == []


@needs_full
def test_arrow_on_a_full_disk_is_recognised(tmp_path: Path) -> None:
    # Opened here: where it is given a path, Arrow deletes what it failed to write, and that would be the device.
    full_disk = pytest.raises(LooplineError, match="the disk is full")
    with full_disk, atomic.new_folder(tmp_path / "folder"), FULL.open("wb", buffering=0) as full:
        pq.write_table(pa.table({"x": [1]}), full)
    assert list(tmp_path.iterdir()) == []


def test_duckdb_on_a_full_disk_is_recognised() -> None:
    assert atomic.is_disk_full(RuntimeError("IO Error: Could not write file: No space left on device"))
    assert atomic.is_disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not atomic.is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_another_error_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic.new_file(tmp_path / "file"):
        raise PermissionError

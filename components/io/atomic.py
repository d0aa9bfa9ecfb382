"""Atomic writes: a reader sees the old content or the new, never a part of it, also if the writer is killed.

A power cut can still lose what the operating system had not written; the digests in the artifacts detect that.
"""

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopline.components.errors import LooplineError

# Anything with this in its name was left by a killed process and may be deleted.
PARTIAL = ".partial-"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what is written there becomes ``path`` unless the block raises.

    Raises:
        LooplineError: the disk is full; the old file, if any, is untouched.
    """
    with _written(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` (replacing it) unless the block raises.

    Raises:
        LooplineError: the disk is full; the old folder, if any, is untouched.
    """
    with _written(path) as partial:
        partial.mkdir()
        yield partial
        if path.exists():
            retired = path.with_name(f"{path.name}{PARTIAL}{uuid.uuid4().hex[:8]}")
            path.rename(retired)
            partial.rename(path)
            shutil.rmtree(retired)
        else:
            partial.rename(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, creating its folder."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_leftovers(root: Path) -> int:
    """Delete what killed processes left half-written below ``root``; return how many files and folders."""
    leftovers = [path for path in root.rglob(f"*{PARTIAL}*") if PARTIAL in path.name]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(leftovers)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of the operating system, Arrow or DuckDB says that there is no space left."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{PARTIAL}{uuid.uuid4().hex[:8]}")
    try:
        yield partial
    except Exception as error:
        if is_disk_full(error):
            raise LooplineError(
                f"the disk is full: {path} could not be written (nothing half-written is kept); "
                "free some space and run the same command again"
            ) from error
        raise
    finally:
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)

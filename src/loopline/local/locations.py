"""Where steps keep state on this machine, such as a registry, and whether that state is still the same."""

import uuid
from pathlib import Path

from loopline.components.io import atomic

IDENTITY = ".identity"


def local_folder(location: str) -> Path | None:
    """The folder of a location, given as a path or a SQLite URL. None if it is not on this machine."""
    path = location.removeprefix("sqlite:///")
    if "://" in path:
        return None
    return Path(path).parent if path != location else Path(path)


def location_identity(location: str) -> str | None:
    """What tells whether a location is still the one, and as, a step left it. None if it is not on this machine.

    A file in it is written on first use, so a folder that was deleted and made again has another identity. Published
    predictions also change identity with the target of their ``current`` link.
    """
    folder = local_folder(location)
    if folder is None:
        return None
    file = folder / IDENTITY
    if not file.is_file():
        atomic.write_text(file, uuid.uuid4().hex)
    current = folder / "current"
    return file.read_text(encoding="utf-8") + (f":{current.readlink()}" if current.is_symlink() else "")

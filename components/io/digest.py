"""Content digests: the identity of files, folders and values, independent of their location."""

import hashlib
import json
from pathlib import Path
from typing import Any

PREFIX = "sha256:"


def of_bytes(data: bytes) -> str:
    """Digest of bytes, as ``sha256:<64 hex digits>``."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Digest of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """Digest of a value as JSON: the same before it is written and after it is read, whatever the order of its keys."""
    as_json = json.loads(json.dumps(value, default=str))  # keys become strings, and sort as such: 10 before 9
    return of_bytes(json.dumps(as_json, sort_keys=True, separators=(",", ":")).encode())


def of_files(root: Path, pattern: str = "*") -> dict[str, str]:
    """Digest of each file below ``root`` whose name matches, by relative POSIX path, in order.

    Bytecode and hidden files are left out.
    """
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob(pattern)
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)
    )
    return {name: of_file(root / name) for name in names}


def of_tree(path: Path) -> str:
    """Digest of a file, or of a folder as the digest of its files' names and contents."""
    return of_file(path) if path.is_file() else of_value(of_files(path))

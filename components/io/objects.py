"""Files and trees in an object store by URI: list, download, upload, copy, delete.

An object store has no rename. Its objects appear whole, one by one, so a tree is written with its manifests last, after
those of its predecessor were deleted: a tree with a manifest is complete.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore

from loopline.components.io.object_store import open_bucket

# Copied at a time: a tree of many small objects waits for round trips, not for bytes.
COPIES = 8
# Parts of one large object on their way at a time, of 5 MiB each.
PARTS = 4
BLOCK = 1 << 23


def size(uri: str) -> int | None:
    """The size of an object in bytes; None if there is none."""
    bucket, key = open_bucket(uri)
    try:
        return int(obstore.head(bucket, key)["size"]) if key else None
    except FileNotFoundError:
        return None


def files(uri: str) -> dict[str, int]:
    """The objects of a tree, by name relative to it, with their sizes in bytes."""
    bucket, key = open_bucket(uri)
    objects = obstore.list(bucket, key or None).collect()
    return {found["path"].removeprefix(f"{key}/"): int(found["size"]) for found in objects}


def download(uri: str, path: Path) -> None:
    """Copy an object to a file."""
    bucket, key = open_bucket(uri)
    with path.open("wb") as file:
        for block in obstore.get(bucket, key).stream(min_chunk_size=BLOCK):
            file.write(block)


def upload(path: Path, uri: str) -> None:
    """Copy a file to an object; a large one goes in parts, and appears whole."""
    bucket, key = open_bucket(uri)
    obstore.put(bucket, key, path, max_concurrency=PARTS)


def upload_tree(source: Path, names: Sequence[str], uri: str) -> None:
    """Copy files of a folder to a tree, replacing it.

    The manifests, the JSON files at its root, are deleted first and written last, so that a reader never takes half a
    tree for a whole one.
    """
    former = files(uri)
    manifests = [name for name in names if _is_manifest(name)]
    bucket, key = open_bucket(uri)

    def write(name: str) -> None:
        upload(source / name, f"{uri}/{name}")

    def delete(name: str) -> None:
        obstore.delete(bucket, f"{key}/{name}")

    each(delete, [name for name in former if _is_manifest(name)])
    each(write, [name for name in names if name not in manifests])
    each(delete, [name for name in former if name not in names and not _is_manifest(name)])
    each(write, manifests)


def copy(uri: str, to: str, names: Sequence[str]) -> None:
    """Copy objects of a tree to another one in the same bucket; no byte comes here."""
    bucket, key = open_bucket(uri)
    _, target = open_bucket(to)
    each(lambda name: obstore.copy(bucket, f"{key}/{name}", f"{target}/{name}"), names)


def delete(uri: str) -> None:
    """Delete an object or a tree; nothing happens if there is none."""
    bucket, key = open_bucket(uri)
    obstore.delete(bucket, [key, *(f"{key}/{name}" for name in files(uri))])


def each(action: Callable[[str], object], names: Sequence[str]) -> None:
    """Do something for several names at a time.

    Raises:
        Exception: what the first of them that failed raised.
    """
    with ThreadPoolExecutor(COPIES, thread_name_prefix="copy") as pool:
        for done in [pool.submit(action, name) for name in names]:
            done.result()


def _is_manifest(name: str) -> bool:
    return "/" not in name and name.endswith(".json")

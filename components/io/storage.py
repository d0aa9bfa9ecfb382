"""Files and trees by URI: on this machine (a plain path or ``file://``) or in an object store (``s3://``)."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs as pafs

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, object_store, objects
from loopline.components.io.object_store_errors import explained


def is_remote(uri: str | Path) -> bool:
    """Whether a URI names something that is not in the file system of this machine."""
    return "://" in str(uri) and not str(uri).startswith("file://")


def local_path(uri: str | Path) -> Path:
    """The absolute path that ``file:///path`` or a plain path names."""
    text = str(uri)
    return Path(unquote(urlsplit(text).path) if text.startswith("file://") else text).absolute()


def check_uri(uri: str | Path) -> None:
    """Check that something can be read or written under a URI, without a request.

    Raises:
        LooplineError: the scheme is unknown, a bucket is not named, or there are no credentials.
    """
    if not is_remote(uri):
        return
    if not str(uri).startswith(object_store.SCHEME):
        raise LooplineError(f"{uri} cannot be read or written; give a path, file:///path or s3://bucket/key")
    object_store.open_bucket(str(uri))


def filesystem(uri: str | Path) -> tuple[pafs.FileSystem, str]:
    """Arrow's file system that a URI points into, to read Parquet in place, and the path there.

    Args:
        uri: a path, ``file:///path`` or ``s3://bucket/key``.

    Returns:
        The file system, and the path as it wants it: ``bucket/key`` for an object store.

    Raises:
        LooplineError: the scheme is unknown, a bucket is not named, or there are no credentials.
    """
    check_uri(uri)
    return object_store.filesystem(str(uri)) if is_remote(uri) else (pafs.LocalFileSystem(), str(local_path(uri)))


def fetch(uri: str | Path, folder: Path, *, manifest: str = "") -> Path:
    """Copy a file or a tree into a folder, under its own name; it is there whole or not at all.

    Args:
        uri: what to copy.
        folder: where to, made if it is not there.
        manifest: a file that a tree must have, one of those written last; not checked if empty.

    Returns:
        Where it is now: ``folder`` / the last part of the URI.

    Raises:
        LooplineError: there is nothing at the URI, a tree lacks its manifest, or the store cannot be read.
    """
    check_uri(uri)
    target = folder / (Path(str(uri)) if is_remote(uri) else local_path(uri)).name
    with _explained(uri):
        size = _size(uri)
        if size is not None:
            with atomic.new_file(target) as partial:
                _download(str(uri), size, partial)
            return target
        files = _files(uri)
        if not files:
            raise LooplineError(
                f"there is nothing at {uri}; check the address, or let the step that writes it run first"
            )
        if manifest and manifest not in files:
            raise LooplineError(f"{uri} is not complete: it has no {manifest}; let the step that writes it run again")
        with atomic.new_folder(target) as partial:

            def download(name: str) -> None:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                _download(_below(uri, name), files[name], partial / name)

            objects.each(download, list(files))
    return target


def put(source: Path, uri: str | Path) -> None:
    """Copy a file or a tree to a URI, replacing what is there.

    On this machine it is replaced at once. In an object store a tree's manifests, the JSON files at its root, are
    deleted first and written last, so that a reader never takes half a tree for a whole one.

    Raises:
        LooplineError: the source is not there, or the URI cannot be written.
    """
    if not source.exists():
        raise LooplineError(f"there is nothing at {source} to put to {uri}")
    check_uri(uri)
    with _explained(uri):
        if is_remote(uri):
            _upload(source, str(uri))
        elif source.is_dir():
            with atomic.new_folder(local_path(uri)) as partial:
                shutil.copytree(source, partial, dirs_exist_ok=True)
        else:
            with atomic.new_file(local_path(uri)) as partial:
                shutil.copyfile(source, partial)


def copy(uri: str, to: str, files: Sequence[str]) -> None:
    """Copy files of a tree within a bucket; the store does it, and no byte comes here.

    Args:
        uri: the tree, in an object store.
        to: the tree that they shall be in, in the same bucket.
        files: their names relative to the tree.

    Raises:
        LooplineError: one is not there, or the store cannot be written.
    """
    check_uri(uri)
    check_uri(to)
    with explained(uri):
        objects.copy(uri, to, files)


def names(uri: str | Path) -> list[str]:
    """The files below a URI, by name relative to it, in order; none if there is nothing.

    Raises:
        LooplineError: the store cannot be read.
    """
    check_uri(uri)
    with _explained(uri):
        return list(_files(uri))


def remove(uri: str) -> None:
    """Delete a file or a tree; nothing happens if there is none.

    Raises:
        LooplineError: the store cannot be written.
    """
    check_uri(uri)
    with _explained(uri):
        if is_remote(uri):
            objects.delete(uri)
        elif (path := local_path(uri)).is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _below(uri: str | Path, name: str) -> str:
    return f"{uri}/{name}" if is_remote(uri) else str(local_path(uri) / name)


@contextmanager
def _explained(uri: str | Path) -> Iterator[None]:
    if is_remote(uri):
        with explained(str(uri)):
            yield
        return
    try:
        yield
    except OSError as error:
        raise LooplineError(f"{uri} cannot be read or written: {error.strerror or error}") from error


def _size(uri: str | Path) -> int | None:
    """The size of a file in bytes; None if there is none, but perhaps a tree."""
    if is_remote(uri):
        return objects.size(str(uri))
    path = local_path(uri)
    return path.stat().st_size if path.is_file() else None


def _files(uri: str | Path) -> dict[str, int]:
    """The files below a URI, by name relative to it, in order, with their sizes in bytes."""
    if is_remote(uri):
        found = objects.files(str(uri))
    else:
        root = local_path(uri)
        found = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    return {name: found[name] for name in sorted(found) if atomic.PARTIAL not in name}


def _download(uri: str, size: int, path: Path) -> None:
    """Copy a file to a path.

    Raises:
        OSError: it arrived shorter than it is.
    """
    objects.download(uri, path) if is_remote(uri) else shutil.copyfile(local_path(uri), path)
    if (copied := path.stat().st_size) != size:
        raise OSError(f"{copied} of {size} bytes of {uri} arrived; run again")


def _upload(source: Path, uri: str) -> None:
    if source.is_dir():
        objects.upload_tree(source, list(_files(source)), uri)
    else:
        objects.upload(source, uri)

"""Files and trees by URI: on this machine (a plain path or ``file://``) or in an object store (``s3://``).

An object store has no rename. Its objects appear whole, one by one, so a tree is put with its manifests last, after
those of its predecessor were taken away: what has its manifest is complete.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs as pafs

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, object_store

# Copied at a time: a tree of many small objects waits for round trips, not for bytes.
COPIES = 8
BLOCK = 1 << 23


def is_remote(uri: str | Path) -> bool:
    """Whether a URI names something that is not in the file system of this machine."""
    return "://" in str(uri) and not str(uri).startswith("file://")


def filesystem(uri: str | Path) -> tuple[pafs.FileSystem, str]:
    """The file system that a URI points into, and the path there.

    Args:
        uri: a path, ``file:///path`` or ``s3://bucket/key``.

    Returns:
        The file system, and the path as it wants it: ``bucket/key`` for an object store.

    Raises:
        LooplineError: the scheme is another one, a bucket is not named, or there are no credentials.
    """
    text = str(uri)
    if text.startswith(object_store.SCHEME):
        return object_store.connect(text)
    if is_remote(text):
        raise LooplineError(f"{text} cannot be read or written; give a path, file:///path or s3://bucket/key")
    path = unquote(urlsplit(text).path) if text.startswith("file://") else text
    return pafs.LocalFileSystem(), str(Path(path).absolute())


def fetch(uri: str | Path, folder: Path, *, manifest: str = "") -> Path:
    """Copy a file or a tree into a folder, under its own name; it is there whole or not at all.

    Args:
        uri: what to copy.
        folder: where to, made if it is not there.
        manifest: a file that a tree has to have, one of those that are put last; none is asked for if empty.

    Returns:
        Where it is now: ``folder`` / the last part of the URI.

    Raises:
        LooplineError: there is nothing at the URI, a tree lacks its manifest, or the store cannot be read.
    """
    source, path = filesystem(uri)
    target = folder / Path(path).name
    with _explained(uri):
        found = source.get_file_info(path)
        if found.is_file:
            with atomic.new_file(target) as partial:
                _copy(source, path, found.size, pafs.LocalFileSystem(), str(partial))
            return target
        files = _files(source, path)
        if not files:
            raise LooplineError(_nothing_at(source, uri))
        if manifest and manifest not in files:
            raise LooplineError(f"{uri} is not complete: it has no {manifest}; let the step that writes it run again")
        with atomic.new_folder(target) as partial:

            def down(name: str) -> None:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                _copy(source, f"{path}/{name}", files[name], pafs.LocalFileSystem(), str(partial / name))

            _each(down, list(files))
    return target


def put(source: Path, uri: str | Path) -> None:
    """Copy a file or a tree to a URI, in place of what is there.

    On this machine it is replaced at once. In an object store a tree's manifests, the JSON files at its root, are taken
    away first and put last, so that a reader never takes half a tree for a whole one.

    Raises:
        LooplineError: the source is not there, or the place cannot be written.
    """
    if not source.exists():
        raise LooplineError(f"there is nothing at {source} to put to {uri}")
    target, path = filesystem(uri)
    with _explained(uri):
        if is_remote(uri):
            _put_tree(source, target, path) if source.is_dir() else _put_file(source, target, path)
        elif source.is_dir():
            with atomic.new_folder(Path(path)) as partial:
                shutil.copytree(source, partial, dirs_exist_ok=True)
        else:
            with atomic.new_file(Path(path)) as partial:
                shutil.copyfile(source, partial)


def copy(uri: str, to: str, files: Sequence[str]) -> None:
    """Copy files of a tree within an object store; the store does it, and no byte comes here.

    Args:
        uri: the tree.
        to: the tree that they shall be in.
        files: their names relative to the tree.

    Raises:
        LooplineError: one is not there, or the store cannot be written.
    """
    store, path = filesystem(uri)
    _, target = filesystem(to)
    with _explained(uri):
        _each(lambda name: store.copy_file(f"{path}/{name}", f"{target}/{name}"), files)


def names(uri: str | Path) -> list[str]:
    """The files below a URI, by name relative to it, in order; none if there is nothing.

    Raises:
        LooplineError: the store cannot be read.
    """
    store, path = filesystem(uri)
    with _explained(uri):
        return list(_files(store, path))


def remove(uri: str) -> None:
    """Delete a tree; nothing happens if there is none.

    Raises:
        LooplineError: the store cannot be written.
    """
    store, path = filesystem(uri)
    with _explained(uri), suppress(FileNotFoundError):
        store.delete_dir(path)


@contextmanager
def _explained(uri: str | Path) -> Iterator[None]:
    if is_remote(uri):
        with object_store.explained(str(uri)):
            yield
        return
    try:
        yield
    except OSError as error:
        raise LooplineError(f"{uri} cannot be read or written: {error.strerror or error}") from error


def _nothing_at(store: pafs.FileSystem, uri: str | Path) -> str:
    if is_remote(uri) and store.get_file_info(object_store.bucket_of(str(uri))).type == pafs.FileType.NotFound:
        return object_store.no_bucket(str(uri))
    return f"there is nothing at {uri}; check the address, or let the step that writes it run first"


def _files(store: pafs.FileSystem, path: str) -> dict[str, int]:
    """The files below a path, by name relative to it, in order, with their sizes in bytes."""
    found = store.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    files = {info.path.removeprefix(f"{path}/"): info.size for info in found if info.is_file}
    return {name: files[name] for name in sorted(files) if atomic.PARTIAL not in name}


def _put_file(source: Path, target: pafs.FileSystem, path: str) -> None:
    _copy(pafs.LocalFileSystem(), str(source.absolute()), source.stat().st_size, target, path)


def _put_tree(source: Path, target: pafs.FileSystem, path: str) -> None:
    files, former = _files(pafs.LocalFileSystem(), str(source.absolute())), _files(target, path)
    manifests = [name for name in files if _is_manifest(name)]

    def up(name: str) -> None:
        _put_file(source / name, target, f"{path}/{name}")

    def away(name: str) -> None:
        target.delete_file(f"{path}/{name}")

    _each(away, [name for name in former if _is_manifest(name)])
    _each(up, [name for name in files if name not in manifests])
    _each(away, [name for name in former if name not in files and not _is_manifest(name)])
    _each(up, manifests)


def _is_manifest(name: str) -> bool:
    return "/" not in name and name.endswith(".json")


def _copy(source: pafs.FileSystem, path: str, size: int, target: pafs.FileSystem, to: str) -> None:
    """Copy a file.

    Raises:
        OSError: it could not be, or arrived shorter than it is.
    """
    copied = 0
    with source.open_input_stream(path) as reader, target.open_output_stream(to) as writer:
        while block := reader.read(BLOCK):
            writer.write(block)
            copied += len(block)
    if copied != size:
        raise OSError(f"{copied} of {size} bytes of {path} arrived; run again")


def _each(action: Callable[[str], object], chosen: Sequence[str]) -> None:
    with ThreadPoolExecutor(COPIES, thread_name_prefix="copy") as pool:
        for done in [pool.submit(action, name) for name in chosen]:
            done.result()

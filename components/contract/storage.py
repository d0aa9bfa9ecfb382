"""Files and folders by URI: on this machine (a plain path or ``file://``) or in an object store (``s3://``).

An object store has no rename. Its objects appear whole, one by one, so a tree is put with its manifests last and taken
away with its manifests first: what has its manifest is complete. The store and its credentials come from the
environment: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and whatever else
the AWS client understands.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from components.contract import atomic
from components.contract.errors import LooplineError

S3 = "s3://"
# Objects that are copied at a time: a tree of many small ones waits for round trips, not for bytes.
COPIES = 8
CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
# Where the AWS client finds credentials, besides the files below ~/.aws.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_REFUSALS = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "UNRECOGNIZED_CLIENT", "TOKEN")
_SILENCE = ("NETWORK_CONNECTION", "curlCode", "timed out", "Timeout", "REQUEST_TIMEOUT")


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
    if not is_remote(text):
        path = unquote(urlsplit(text).path) if text.startswith("file://") else text
        return pafs.LocalFileSystem(), str(Path(path).absolute())
    if not text.startswith(S3):
        raise LooplineError(f"{text} cannot be read or written; give a path, file:///path or s3://bucket/key")
    path = text.removeprefix(S3).strip("/")
    if not path:
        raise LooplineError(f"{text} names no bucket; write s3://bucket/key")
    _expect_credentials(text)
    store = pafs.S3FileSystem(
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL") or None,
        region=region(),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=2),
        allow_delayed_open=True,
    )
    return store, path


def region() -> str | None:
    """The region of the object store; a store of one's own has none, and takes any."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if os.environ.get("AWS_ENDPOINT_URL") else None)


def fetch(uri: str | Path, folder: Path, *, manifest: str = "") -> Path:
    """Copy a file or a tree into a folder, under its own name; it is there whole or not at all.

    Args:
        uri: what to copy.
        folder: where to, made if it is not there.
        manifest: a file that a tree has to have, being one that is put last; none is asked for if empty.

    Returns:
        Where it is now: ``folder`` / the last part of the URI.

    Raises:
        LooplineError: there is nothing at the URI, a tree lacks its manifest, or the store cannot be read.
    """
    source, path = filesystem(uri)
    target = folder / Path(path).name
    with explained(uri):
        found = source.get_file_info(path)
        if found.type == pafs.FileType.File:
            with atomic.new_file(target) as partial:
                _copy(source, path, found.size, pafs.LocalFileSystem(), str(partial))
            return target
        files = _files(source, path) if found.type == pafs.FileType.Directory else {}
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

    A tree's manifests, the JSON files at its root, are taken away first and put last, so that a reader never takes half
    a tree for a whole one.

    Raises:
        LooplineError: the source is not there, or the store cannot be written.
    """
    if not source.exists():
        raise LooplineError(f"there is nothing at {source} to put to {uri}")
    target, path = filesystem(uri)
    with explained(uri):
        if source.is_file():
            _put_file(source, target, path)
        elif is_remote(uri):
            _put_tree(source, target, path)
        else:
            with atomic.new_folder(Path(path)) as partial:
                shutil.copytree(source, partial, dirs_exist_ok=True)


@contextmanager
def explained(uri: str | Path) -> Iterator[None]:
    """Turn what an object store says into a sentence.

    Raises:
        LooplineError: whatever went wrong in the block with the store, in words.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise LooplineError(_sentence(str(uri), error)) from error


def _sentence(uri: str, error: Exception) -> str:
    text = str(error)
    if not is_remote(uri):
        return f"{uri} cannot be read or written: {getattr(error, 'strerror', None) or text}"
    where = os.environ.get("AWS_ENDPOINT_URL") or "Amazon S3"
    if "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text:
        return f"there is no bucket '{_bucket(uri)}' at {where}, so {uri} cannot be used; make it, or name another"
    if any(word in text for word in _REFUSALS):
        return (
            f"{where} refuses access to {uri}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "and what they are allowed to do"
        )
    if any(word in text for word in _SILENCE):
        return f"{where} cannot be reached, so {uri} cannot be used: check AWS_ENDPOINT_URL and the network"
    return f"{uri} cannot be used: {text.splitlines()[0] if text else type(error).__name__}"


def _expect_credentials(uri: str) -> None:
    """Refuse early where the AWS client would ask a cloud's metadata service that a store of one's own does not have.

    Raises:
        LooplineError: there are none, or half of a pair.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_SECRET_ACCESS_KEY"):
        raise LooplineError(f"AWS_SECRET_ACCESS_KEY is not set but AWS_ACCESS_KEY_ID is, so {uri} cannot be used")
    files = (os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), "~/.aws/config")
    named = any(os.environ.get(name) for name in CREDENTIALS)
    if (
        os.environ.get("AWS_ENDPOINT_URL")
        and not named
        and not any(Path(file).expanduser().is_file() for file in files)
    ):
        raise LooplineError(
            f"there are no credentials for {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(in a pod they come from the Secret loopline-s3)"
        )


def _nothing_at(store: pafs.FileSystem, uri: str | Path) -> str:
    if is_remote(uri) and store.get_file_info(_bucket(str(uri))).type == pafs.FileType.NotFound:
        return _sentence(str(uri), OSError("NO_SUCH_BUCKET"))
    return f"there is nothing at {uri}; check the address, or let the step that writes it run first"


def _bucket(uri: str) -> str:
    return uri.removeprefix(S3).partition("/")[0]


def _files(store: pafs.FileSystem, path: str) -> dict[str, int]:
    """The files below a path, by name relative to it, with their sizes in bytes."""
    found = store.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    return {
        info.path.removeprefix(f"{path}/"): info.size
        for info in sorted(found, key=lambda info: info.path)
        if info.type == pafs.FileType.File and atomic.PARTIAL not in info.path
    }


def _put_file(source: Path, target: pafs.FileSystem, path: str) -> None:
    if isinstance(target, pafs.LocalFileSystem):
        with atomic.new_file(Path(path)) as partial:
            shutil.copyfile(source, partial)
    else:
        _copy(pafs.LocalFileSystem(), str(source.absolute()), source.stat().st_size, target, path)


def _put_tree(source: Path, target: pafs.FileSystem, path: str) -> None:
    """Manifests go first and come last; what the tree does not have any more is taken away in between."""
    local, root = pafs.LocalFileSystem(), str(source.absolute())
    files, former = _files(local, root), _files(target, path)

    def up(name: str) -> None:
        _copy(local, f"{root}/{name}", files[name], target, f"{path}/{name}")

    def away(name: str) -> None:
        target.delete_file(f"{path}/{name}")

    manifests = [name for name in files if _is_manifest(name)]
    _each(away, [name for name in former if _is_manifest(name)])
    _each(up, [name for name in files if name not in manifests])
    _each(away, [name for name in former if name not in files and not _is_manifest(name)])
    _each(up, manifests)


def _is_manifest(name: str) -> bool:
    return "/" not in name and name.endswith(".json")


def _copy(source: pafs.FileSystem, path: str, size: int, target: pafs.FileSystem, to: str) -> None:
    """Copy a file.

    Raises:
        OSError: it could not be, or came out shorter than it is.
    """
    with source.open_input_stream(path) as reader, target.open_output_stream(to) as writer:
        copied = 0
        while block := reader.read(1 << 23):
            writer.write(block)
            copied += len(block)
    if copied != size:
        raise OSError(f"{copied} of {size} bytes of {path} arrived; try again")


def _each(action: Callable[[str], object], names: Sequence[str]) -> None:
    with ThreadPoolExecutor(COPIES, thread_name_prefix="copy") as pool:
        for done in [pool.submit(action, name) for name in names]:
            done.result()

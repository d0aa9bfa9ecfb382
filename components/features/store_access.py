"""Access to a feature store in a folder or in an object store, whose registry is copied to a folder to work on.

SQLite cannot live in an object store, so the online store then has to be a Redis (LOOPLINE_ONLINE_STORE).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from loopline.components.contract.feature_store import ADDRESS, PASSWORD, REGISTRY, SETTINGS
from loopline.components.errors import LooplineError
from loopline.components.features import lease
from loopline.components.io import conditional_put, storage

LEASE = ".lease"


@contextmanager
def for_reading(store: Path | str) -> Iterator[Path]:
    """Give a folder with the registry of a store.

    Raises:
        LooplineError: there is no store, it cannot be read, or it is in an object store and has no online store.
    """
    if not storage.is_remote(store):
        folder = storage.local_path(store)
        if not (folder / REGISTRY).is_file():
            raise LooplineError(f"there is no feature store in {folder} yet: materialise first")
        with _online_store_errors():
            yield folder
        return
    _expect_online_store(store)
    found = conditional_put.read(f"{store}/{REGISTRY}")
    if found is None:
        raise LooplineError(f"there is no feature store in {store} yet: materialise first")
    with TemporaryDirectory(prefix="loopline-store-") as name, _online_store_errors():
        (Path(name) / REGISTRY).write_bytes(found[0])
        yield Path(name)


@contextmanager
def for_writing(store: Path | str) -> Iterator[Path]:
    """Give a folder with the registry of a store, if there is one, under an exclusive lock.

    On a disk it is the store's own folder, and the lock ends with the process, however it ends. In an object store the
    registry is written back when the block ends without an error.

    Raises:
        LooplineError: the store cannot be used, or another process changed it although it was locked.
    """
    if not storage.is_remote(store):
        folder = storage.local_path(store)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _online_store_errors():
                yield folder
        return
    _expect_online_store(store)
    storage.check_uri(store)
    registry = f"{store}/{REGISTRY}"
    with lease.held(f"{store}/{LEASE}") as expect_held, TemporaryDirectory(prefix="loopline-store-") as name:
        folder = Path(name)
        content, tag = conditional_put.read(registry) or (b"", None)
        if tag:
            (folder / REGISTRY).write_bytes(content)
        with _online_store_errors():
            yield folder
        expect_held()
        storage.put(folder / SETTINGS, f"{store}/{SETTINGS}")
        if not conditional_put.replace(registry, (folder / REGISTRY).read_bytes(), tag):
            raise LooplineError(f"another process changed {registry} in the meantime; run again to complete it")


def _expect_online_store(store: Path | str) -> None:
    if not os.environ.get(ADDRESS):
        raise LooplineError(
            f"the feature store {store} is in an object store, which cannot hold online values: "
            f"set {ADDRESS} to redis://host:port"
        )


@contextmanager
def _online_store_errors() -> Iterator[None]:
    """Turn errors of a Redis online store in the block into sentences.

    Raises:
        LooplineError: it does not answer, or refuses.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        yield
        return
    import redis  # noqa: PLC0415 - on a laptop nothing else needs it

    try:
        yield
    except redis.AuthenticationError as error:
        raise LooplineError(f"the online store at {address} does not accept {PASSWORD}: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise LooplineError(f"the online store at {address} cannot be reached; check {ADDRESS}: {error}") from error
    except redis.RedisError as error:
        raise LooplineError(f"the online store at {address} refuses: {error}") from error

"""Readers of Feast's online stores, one level below Feast's own call: SQLite on a laptop, Redis on a cluster."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

# Keys per statement: below SQLite's limit on variables.
BATCH = 1000
# How long a read waits for a writer of the SQLite file. The event loop waits with it, so it is short.
LOCK_MILLISECONDS = 200

# Event timestamp and values by feature; Feast returns None for each if the key is unknown.
RawRow = tuple[Any, Mapping[str, Value] | None]
ViewKeys = tuple[FeatureView, list[str], list[EntityKey]]


class Reader(Protocol):
    """The online store of a feature repository."""

    async def read(self, requested: Sequence[ViewKeys]) -> list[list[RawRow]]:
        """For each view with its features and keys, a raw row for each key; all in one call."""
        ...


class SqliteReader:
    """Reads an SQLite file in the event loop: a read takes less time than handing it to a thread.

    All views are read in one transaction, so the values are from one moment and the file is locked once.
    """

    def __init__(self, config: RepoConfig) -> None:
        self._config = config
        self._store = get_online_store_from_config(config.online_store)
        self._connection = self._store._get_conn(config)
        self._connection.execute(f"PRAGMA busy_timeout = {LOCK_MILLISECONDS}")

    async def read(self, requested: Sequence[ViewKeys]) -> list[list[RawRow]]:
        """See `Reader`."""
        self._connection.execute("BEGIN")
        try:
            return [self._read(*view_keys) for view_keys in requested]
        finally:
            self._connection.execute("ROLLBACK")

    def _read(self, view: FeatureView, features: list[str], keys: list[EntityKey]) -> list[RawRow]:
        return [
            row
            for start in range(0, len(keys), BATCH)
            for row in self._store.online_read(self._config, view, keys[start : start + BATCH], features)
        ]


class RedisReader:
    """Reads Redis: all views of all rows in one pipeline, so one round trip."""

    def __init__(self, config: RepoConfig) -> None:
        self._config = config
        self._store = get_online_store_from_config(config.online_store)

    async def read(self, requested: Sequence[ViewKeys]) -> list[list[RawRow]]:
        """See `Reader`."""
        store = self._store
        client = await store._get_client_async(self._config.online_store)
        decoders: list[Callable[[Any], list[RawRow]]] = []
        async with client.pipeline(transaction=False) as pipeline:
            for view, features, keys in requested:
                names, fields = store._generate_hset_keys_for_features(view, list(features))
                for key in store._generate_redis_keys_for_entities(self._config, keys):
                    pipeline.hmget(key, fields)
                decoders.append(self._decoder(str(view.name), names))
            replies = iter(await pipeline.execute())
        return [
            decoder([next(replies) for _ in keys]) for decoder, (_, _, keys) in zip(decoders, requested, strict=True)
        ]

    def _decoder(self, view: str, names: list[str]) -> Callable[[Any], list[RawRow]]:
        def decode(values: Any) -> list[RawRow]:
            rows: list[RawRow] = self._store._convert_redis_values_to_protobuf(values, view, names)
            return rows

        return decode


def reader(config: RepoConfig) -> Reader:
    """The reader of a repository's online store."""
    return RedisReader(config) if config.online_store.type == "redis" else SqliteReader(config)

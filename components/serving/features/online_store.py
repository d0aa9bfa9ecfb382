"""The online store of a feature repository, read without what makes Feast's own call slow, and with the same values.

Feast's ``get_online_features`` builds a response of protobufs for each call, which takes many times as long as reading
the store. Here the store is asked one level below, where Feast's call asks it; a test holds the two equal.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

from feast import FeatureStore, FeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values

from loopline.components.contract.examples import Feature
from loopline.components.contract.feature_store import ADDRESS, REGISTRY, settings
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.serving.features.lookup import Held, Key, View

# Keys per statement: below SQLite's limit on variables.
BATCH = 1000
# So long a reader waits for a writer of the SQLite file. The event loop waits with it, so it is short.
LOCK_MILLISECONDS = 200

# Entity keys that are kept as Feast writes them: few are asked for again and again, and making one takes its time.
KEYS_KEPT = 10_000

Raw = tuple[Any, Mapping[str, Value] | None]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Definition:
    """A feature view of the repository, and how its entity keys are written."""

    view: FeatureView
    join_keys: tuple[str, ...]
    types: tuple[Any, ...]

    @classmethod
    def of(cls, view: FeatureView) -> Self:
        """The definition of a registered view."""
        columns = [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
        types = tuple(column.dtype.to_value_type() for column in columns)
        return cls(view, tuple(str(column.name) for column in columns), types)


class Reader(Protocol):
    """The online store of a repository, whichever it is."""

    async def read(self, asked: Sequence[tuple[FeatureView, list[str], list[EntityKey]]]) -> list[list[Raw]]:
        """For each view, its features and keys: when the values were known since, and the values; in one go."""
        ...


class Online:
    """A materialised feature repository, open for reading.

    Args:
        project: the Feast project: the name of the use case.
        store: folder of the repository, or the tree in an object store.

    Raises:
        LooplineError: there is no repository, or its online store is none that can be read from here.
    """

    def __init__(self, project: str, store: str) -> None:
        with tempfile.TemporaryDirectory(prefix="loopline-registry-") as scratch:
            folder = _registry_folder(store, Path(scratch))
            config = RepoConfig(**settings(project, folder), repo_path=folder)
            views = FeatureStore(config=config).list_feature_views()
        self.definitions = {str(view.name): Definition.of(view) for view in views}
        self._reader = _reader(config)

    def views(self, features: Sequence[Feature]) -> list[View]:
        """The views of some features, each with those of its features."""
        names = dict.fromkeys(feature.view for feature in features if feature.view)
        return [self._view(name, [feature.name for feature in features if feature.view == name]) for name in names]

    def features(self) -> dict[str, str]:
        """Every stored feature, with its view."""
        return {
            str(field.name): name for name, definition in self.definitions.items() for field in definition.view.features
        }

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, Held]]:
        """What the store holds, for each view and each of its keys; one call, whatever the number of views.

        Raises:
            Exception: whatever the store's client says when it cannot be read.
        """
        asked = []
        for view, wanted in zip(views, keys, strict=True):
            definition = self.definitions[view.name]
            protos = [_entity_key(definition.join_keys, definition.types, key) for key in wanted]
            asked.append((definition.view, list(view.features), protos))
        found = await self._reader.read(asked)
        return [
            {key: held for key, raw in zip(wanted, raws, strict=True) if (held := _held(raw))}
            for wanted, raws in zip(keys, found, strict=True)
        ]

    def _view(self, name: str, features: Sequence[str]) -> View:
        definition = self.definitions[name]
        return View(name, definition.join_keys, definition.view.ttl, tuple(features))


class SqliteReader:
    """The SQLite file of a laptop: a read takes less time than handing it to a thread.

    All views are read in one transaction. It is what they are at one moment, and the file is locked once, not for each.
    """

    def __init__(self, config: RepoConfig) -> None:
        self._config = config
        self._store = get_online_store_from_config(config.online_store)
        self._connection = self._store._get_conn(config)
        self._connection.execute(f"PRAGMA busy_timeout = {LOCK_MILLISECONDS}")

    async def read(self, asked: Sequence[tuple[FeatureView, list[str], list[EntityKey]]]) -> list[list[Raw]]:
        """See `Reader`."""
        self._connection.execute("BEGIN")
        try:
            return [self._read(*of_view) for of_view in asked]
        finally:
            self._connection.execute("ROLLBACK")

    def _read(self, view: FeatureView, features: list[str], keys: list[EntityKey]) -> list[Raw]:
        return [
            raw
            for start in range(0, len(keys), BATCH)
            for raw in self._store.online_read(self._config, view, keys[start : start + BATCH], features)
        ]


class RedisReader:
    """Redis: all views of all rows in one pipeline, so one round trip."""

    def __init__(self, config: RepoConfig) -> None:
        self._config = config
        self._store = get_online_store_from_config(config.online_store)

    async def read(self, asked: Sequence[tuple[FeatureView, list[str], list[EntityKey]]]) -> list[list[Raw]]:
        """See `Reader`."""
        store = self._store
        client = await store._get_client_async(self._config.online_store)
        decode: list[Callable[[Any], list[Raw]]] = []
        async with client.pipeline(transaction=False) as pipeline:
            for view, features, keys in asked:
                names, fields = store._generate_hset_keys_for_features(view, list(features))
                for key in store._generate_redis_keys_for_entities(self._config, keys):
                    pipeline.hmget(key, fields)
                decode.append(self._decoder(str(view.name), names))
            answers = iter(await pipeline.execute())
        return [decoder([next(answers) for _ in keys]) for decoder, (_, _, keys) in zip(decode, asked, strict=True)]

    def _decoder(self, view: str, names: list[str]) -> Callable[[Any], list[Raw]]:
        def decode(values: Any) -> list[Raw]:
            raws: list[Raw] = self._store._convert_redis_values_to_protobuf(values, view, names)
            return raws

        return decode


@lru_cache(maxsize=KEYS_KEPT)
def _entity_key(join_keys: tuple[str, ...], types: tuple[Any, ...], key: Key) -> EntityKey:
    """A key as Feast writes it."""
    if not key:
        return EntityKey(join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val=DUMMY_ENTITY_VAL)])
    values = [python_values_to_proto_values([part], kind)[0] for part, kind in zip(key, types, strict=True)]
    return EntityKey(join_keys=list(join_keys), entity_values=values)


def _reader(config: RepoConfig) -> Reader:
    return RedisReader(config) if config.online_store.type == "redis" else SqliteReader(config)


def _held(raw: Raw) -> Held | None:
    """What a store gave for a key; None if it has nothing, which Redis says with the beginning of time."""
    since, protos = raw
    if since is None or protos is None or not since.timestamp():
        return None
    return Held(since, {name: _value(proto) for name, proto in protos.items()})


def _value(proto: Value) -> Any:
    kind = proto.WhichOneof("val")
    return None if kind is None or kind == "null_val" else getattr(proto, kind)


def _registry_folder(store: str, scratch: Path) -> Path:
    """A folder that holds the registry of a store."""
    if storage.is_remote(store):
        if not settings("any", scratch)["online_store"]["type"] == "redis":
            raise LooplineError(
                f"the feature store {store} has its online store elsewhere: set {ADDRESS} to its address"
            )
        return storage.fetch(f"{store}/{REGISTRY}", scratch).parent
    path = storage.local_path(store)
    if not (path / REGISTRY).is_file():
        raise LooplineError(f"there is no feature store in {path}: materialise first")
    return path

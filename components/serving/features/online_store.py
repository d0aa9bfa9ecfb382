"""The online store of a Feast repository, with the values of Feast's own call but without its cost.

Feast's ``get_online_features`` builds a response of protobufs for each call, which takes many times as long as reading
the store. This module reads the store directly; a test checks that both return the same values.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from feast import FeatureStore, FeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values

from loopline.components.contract.examples import Feature
from loopline.components.contract.feature_store import ADDRESS, REGISTRY, settings
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.serving.features.readers import RawRow, reader
from loopline.components.serving.features.values import Key, StoredRow, View

# Entity keys that are kept in Feast's form: a few are requested again and again, and converting one takes time.
CACHED_KEYS = 10_000


@dataclass(frozen=True)
class Definition:
    """A feature view of the repository, with the names and types of its join keys."""

    view: FeatureView
    join_keys: tuple[str, ...]
    types: tuple[Any, ...]

    @classmethod
    def of(cls, view: FeatureView) -> Self:
        """The definition of a registered view."""
        columns = [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
        types = tuple(column.dtype.to_value_type() for column in columns)
        return cls(view, tuple(str(column.name) for column in columns), types)


class FeastOnlineStore:
    """A materialised feature repository, open for reading.

    Args:
        project: the Feast project: the name of the use case.
        uri: the repository, a folder or a prefix in an object store.

    Raises:
        LooplineError: there is no repository, or its online store cannot be reached from here.
    """

    def __init__(self, project: str, uri: str) -> None:
        with tempfile.TemporaryDirectory(prefix="loopline-registry-") as scratch:
            folder = _registry_folder(uri, Path(scratch))
            config = RepoConfig(**settings(project, folder), repo_path=folder)
            views = FeatureStore(config=config).list_feature_views()
        self.definitions = {str(view.name): Definition.of(view) for view in views}
        self._reader = reader(config)

    def views(self, features: Sequence[Feature]) -> list[View]:
        """The views of some features, each with those of its features."""
        names = dict.fromkeys(feature.view for feature in features if feature.view)
        return [self._view(name, [feature.name for feature in features if feature.view == name]) for name in names]

    def features(self) -> dict[str, str]:
        """Every stored feature, with its view."""
        return {
            str(field.name): name for name, definition in self.definitions.items() for field in definition.view.features
        }

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, StoredRow]]:
        """What the store has, for each view and each of its entity keys; one call, whatever the number of views.

        Raises:
            Exception: the error of the store's client, if the store cannot be read.
        """
        requested = []
        for view, view_keys in zip(views, keys, strict=True):
            definition = self.definitions[view.name]
            protos = [_entity_key(definition.join_keys, definition.types, key) for key in view_keys]
            requested.append((definition.view, list(view.features), protos))
        found = await self._reader.read(requested)
        return [
            {key: stored for key, raw in zip(view_keys, rows, strict=True) if (stored := _stored_row(raw))}
            for view_keys, rows in zip(keys, found, strict=True)
        ]

    def _view(self, name: str, features: Sequence[str]) -> View:
        definition = self.definitions[name]
        return View(name, definition.join_keys, definition.view.ttl, tuple(features))


@lru_cache(maxsize=CACHED_KEYS)
def _entity_key(join_keys: tuple[str, ...], types: tuple[Any, ...], key: Key) -> EntityKey:
    """An entity key in Feast's form."""
    if not key:
        return EntityKey(join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val=DUMMY_ENTITY_VAL)])
    values = [python_values_to_proto_values([part], kind)[0] for part, kind in zip(key, types, strict=True)]
    return EntityKey(join_keys=list(join_keys), entity_values=values)


def _stored_row(raw: RawRow) -> StoredRow | None:
    """What a store has for a key; None if it has nothing, for which Redis returns a timestamp of zero."""
    known_at, protos = raw
    if known_at is None or protos is None or not known_at.timestamp():
        return None
    return StoredRow(known_at, {name: _value(proto) for name, proto in protos.items()})


def _value(proto: Value) -> Any:
    kind = proto.WhichOneof("val")
    return None if kind is None or kind == "null_val" else getattr(proto, kind)


def _registry_folder(uri: str, scratch: Path) -> Path:
    """A local folder with the registry of a repository."""
    if storage.is_remote(uri):
        if not settings("any", scratch)["online_store"]["type"] == "redis":
            raise LooplineError(f"the online store of {uri} is not part of it: set {ADDRESS} to its address")
        return storage.fetch(f"{uri}/{REGISTRY}", scratch).parent
    path = storage.local_path(uri)
    if not (path / REGISTRY).is_file():
        raise LooplineError(f"there is no feature store in {path}: materialise first")
    return path

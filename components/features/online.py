"""Reading and writing the online store through Feast, with the event timestamp of the values.

An online store keeps one value per key for ever and does not enforce a ttl, and SQLite's keeps event timestamps in
whole seconds: the reader has to check the age.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import python_values_to_proto_values

from loopline.components.features.stored_view import StoredView

# Keys per request: below SQLite's limit on variables in a statement.
BATCH = 1000


@dataclass(frozen=True)
class OnlineRow:
    """What the online store holds for a key: values by feature, and since when they are known; None if it has none."""

    values: dict[str, Any]
    since: datetime | None


def read(
    repository: FeatureStore, view: StoredView, features: Sequence[str], keys: Sequence[dict[str, Any]]
) -> Iterator[OnlineRow]:
    """Read what the online store holds for some keys, in their order.

    Args:
        repository: an open Feast repository.
        view: the feature view.
        features: the features of the view to read.
        keys: join keys and their values, none of them null.
    """
    references = [f"{view.name}:{feature}" for feature in features]
    for start in range(0, len(keys), BATCH):
        requested = [key or {DUMMY_ENTITY_ID: DUMMY_ENTITY_VAL} for key in keys[start : start + BATCH]]
        found = repository.get_online_features(references, requested).to_dict(include_event_timestamps=True)
        for row in range(len(requested)):
            seconds = max(found[f"{feature}__ts"][row] for feature in features)
            since = datetime.fromtimestamp(seconds, UTC) if seconds else None
            yield OnlineRow({feature: found[feature][row] for feature in features}, since)


def write(repository: FeatureStore, view: StoredView, rows: pa.Table) -> None:
    """Put rows of history, one per key, into the online store; one batch is one transaction."""
    registered = repository.get_feature_view(view.name)
    types = {field.name: field.dtype.to_value_type() for field in [*registered.entity_columns, *registered.features]}
    for start in range(0, rows.num_rows, BATCH):
        some = rows.slice(start, BATCH)
        protos = {
            field: python_values_to_proto_values(_values(some, view, field), kind) for field, kind in types.items()
        }
        keys = [field.name for field in registered.entity_columns]
        features = [field.name for field in registered.features]
        since = some.column(view.timestamp).to_pylist()
        created = some.column(view.created).to_pylist() if view.created else [None] * some.num_rows
        batch = [
            (
                EntityKey(join_keys=keys, entity_values=[protos[key][row] for key in keys]),
                {feature: protos[feature][row] for feature in features},
                since[row],
                created[row],
            )
            for row in range(some.num_rows)
        ]
        repository.provider.online_write_batch(repository.config, registered, batch, progress=None)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal; NaN and null are the same to a model."""
    return (_missing(left) and _missing(right)) or bool(left == right)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _values(rows: pa.Table, view: StoredView, field: str) -> list[Any]:
    if field == DUMMY_ENTITY_ID:
        return [DUMMY_ENTITY_VAL] * rows.num_rows
    values: list[Any] = rows.column(view.column(field)).to_pylist()
    return values

"""A feature view that a use case stores: an ordinary Feast object, and the SQL that computes its history."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureView, FileSource
from feast.types import from_feast_to_pyarrow_type

from loopline.components.contract.examples import TIMESTAMP, Feature
from loopline.components.errors import LooplineError
from loopline.components.io import digest


@dataclass(frozen=True)
class StoredView:
    """A feature view of features.py that usecase.yaml names under features.stored.

    Attributes:
        view: the user's object, never modified.
        entities: the entities it is joined on.
        wanted: the features that the model takes, in the order of usecase.yaml.
        sql: the query that computes its history from the tables of the use case.
    """

    view: FeatureView
    entities: tuple[Entity, ...]
    wanted: tuple[str, ...]
    sql: str

    @property
    def name(self) -> str:
        """The name of the view, and of the table of its history."""
        return str(self.view.name)

    @property
    def join_keys(self) -> list[str]:
        """The columns that it is joined on."""
        return [entity.join_key for entity in self.entities]

    @property
    def references(self) -> list[str]:
        """The wanted features as Feast refers to them."""
        return [f"{self.name}:{feature}" for feature in self.wanted]

    @property
    def timestamp(self) -> str:
        """The column of its history with the event timestamp."""
        return str(self.view.batch_source.timestamp_field)

    @property
    def created(self) -> str | None:
        """The column of its history with the created timestamp, if there is one."""
        return self.view.batch_source.created_timestamp_column or None

    @property
    def identity(self) -> list[str]:
        """The columns that identify a row of its history: join keys, event and created timestamp."""
        keys = [self.column(key) for key in self.join_keys]
        return [*keys, self.timestamp, *([self.created] if self.created else [])]

    @property
    def columns(self) -> dict[str, pa.DataType | None]:
        """The columns of its history in order, with the Arrow type that features.py declares, if any."""
        moments = {self.timestamp, self.created}
        identity = {column: TIMESTAMP if column in moments else None for column in self.identity}
        return identity | {self.column(field.name): _arrow_type(field.dtype) for field in self.view.features}

    def column(self, field: str) -> str:
        """The column of its history that holds a join key or a feature."""
        mapping = self.view.batch_source.field_mapping
        return next((old for old, new in mapping.items() if new == field), field)

    @property
    def version(self) -> str:
        """Digest of its definition: name, schema, ttl, join keys, columns of its source, and SQL."""
        return digest.of_value(
            {
                "name": self.name,
                "schema": {field.name: str(field.dtype) for field in self.view.features},
                "ttl": self.view.ttl.total_seconds() if self.view.ttl else 0,
                "join_keys": self.join_keys,
                "source": [self.timestamp, self.created, dict(self.view.batch_source.field_mapping)],
                "sql": self.sql,
            }
        )

    def model_features(self) -> list[Feature]:
        """The wanted features as inputs of a model."""
        types = {field.name: field.dtype for field in self.view.features}
        return [Feature(feature, _kind(self.name, feature, types[feature]), self.name) for feature in self.wanted]

    def bound(self, folder: str, tags: Mapping[str, str]) -> FeatureView:
        """A copy of the view over ``folder/<view>.parquet``, relative to the repository, with additional tags."""
        source = self.view.batch_source
        bound = copy.copy(self.view)
        bound.tags = {**self.view.tags, **tags}
        bound.batch_source = FileSource(
            name=source.name,
            path=f"{folder}/{self.name}.parquet",
            timestamp_field=self.timestamp,
            created_timestamp_column=self.created or "",
            field_mapping=dict(source.field_mapping),
            description=source.description,
            tags=dict(source.tags),
            owner=source.owner,
        )
        return bound


def _kind(view: str, feature: str, dtype: Any) -> str:
    arrow = _arrow_type(dtype)
    if arrow is not None and pa.types.is_string(arrow):
        return "category"
    if arrow is not None and (pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_boolean(arrow)):
        return "number"
    raise LooplineError(f"feature '{feature}' of view '{view}' is of type {dtype}; a model takes strings and numbers")


def _arrow_type(dtype: Any) -> pa.DataType | None:
    """The Arrow type of a Feast type; None where Feast has none for it."""
    try:
        return from_feast_to_pyarrow_type(dtype)
    except ValueError:
        return None

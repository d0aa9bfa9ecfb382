"""The feature views that a use case stores: ordinary Feast objects of its features.py, and the SQL that fills each."""

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureView, FileSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.types import from_feast_to_pyarrow_type

from loopline.components.contract.examples import FEATURE_TIME, LABEL, TIMESTAMP, Feature
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import digest


@dataclass(frozen=True)
class StoredView:
    """A feature view of features.py that usecase.yaml names under features.stored.

    Attributes:
        view: the user's object, never changed.
        entities: the entities it is joined on.
        wanted: the features that the model takes, in the order of usecase.yaml.
        sql: what fills its history, over the tables of the use case.
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
        """The columns that tell the rows of its history apart: join keys, event and created timestamp."""
        keys = [self.column(key) for key in self.join_keys]
        return [*keys, self.timestamp, *([self.created] if self.created else [])]

    @property
    def columns(self) -> dict[str, pa.DataType | None]:
        """The columns of its history in order, with the Arrow type that features.py declares, if it declares one."""
        moments = {self.timestamp, self.created}
        identity = {column: TIMESTAMP if column in moments else None for column in self.identity}
        return identity | {self.column(field.name): _arrow_type(field.dtype) for field in self.view.features}

    def column(self, field: str) -> str:
        """The column of its history that holds a join key or a feature."""
        mapping = self.view.batch_source.field_mapping
        return next((old for old, new in mapping.items() if new == field), field)

    @property
    def version(self) -> str:
        """Digest of what it is: name, schema, ttl, join keys, columns of its source, and SQL."""
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
        """A copy of the view over ``folder/<view>.parquet``, relative to the repository, with some more tags."""
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


def stored_views(case: UseCase) -> list[StoredView]:
    """The feature views that features.stored of usecase.yaml names, in its order.

    Raises:
        LooplineError: a view or feature does not exist, has no SQL, has the name of another column, or cannot be stored
            here.
    """
    if not case.spec.features.stored:
        return []
    where = case.folder / "features.py"
    sql = getattr(case.features, "HISTORY", None)
    if not isinstance(sql, dict):
        raise LooplineError(f"{where} has no HISTORY: a dictionary from the name of each feature view to its SQL")
    views = {str(found.name): found for found in _objects(case, FeatureView)}
    entities = {str(found.name): found for found in _objects(case, Entity)}
    for name in sql:
        if name not in views:
            raise LooplineError(
                f"{where}: HISTORY has SQL for '{name}', but no feature view has that name; {_hint(name, views)}"
            )
    stored = []
    for name, wanted in _wanted(case, views).items():
        if not isinstance(sql.get(name), str):
            raise LooplineError(f"{where}: feature view '{name}' has no SQL; add it to HISTORY")
        _check_kind(f"{where}: feature view '{name}'", views[name], entities)
        joined_on = tuple(entities[entity] for entity in views[name].entities if entity in entities)
        stored.append(StoredView(views[name], joined_on, tuple(wanted), sql[name]))
    _check_names(case, stored)
    return stored


def view_versions(views: Iterable[StoredView]) -> dict[str, str]:
    """The version of each view, by name."""
    return {view.name: view.version for view in views}


def _objects(case: UseCase, kind: type) -> list[Any]:
    return [found for found in vars(case.features).values() if isinstance(found, kind)]


def _wanted(case: UseCase, views: Mapping[str, FeatureView]) -> dict[str, list[str]]:
    """The wanted features by view: all of a view that is named whole."""
    wanted: dict[str, list[str]] = {}
    for reference in case.spec.features.stored:
        name, _, feature = reference.partition(":")
        if name not in views:
            raise LooplineError(
                f"usecase.yaml: features.stored names '{name}', but {case.folder / 'features.py'} has no feature view "
                f"of that name; {_hint(name, views)}"
            )
        known = [str(field.name) for field in views[name].features]
        if feature and feature not in known:
            raise LooplineError(
                f"usecase.yaml: features.stored names '{reference}', but view '{name}' has no such feature; "
                f"{_hint(feature, known)}"
            )
        chosen = wanted.setdefault(name, [])
        chosen.extend(column for column in ([feature] if feature else known) if column not in chosen)
    return wanted


def _check_kind(what: str, view: FeatureView, entities: Mapping[str, Entity]) -> None:
    if not isinstance(view.batch_source, FileSource):
        raise LooplineError(f"{what} needs a FileSource with the path '{view.name}.parquet'")
    if not view.batch_source.timestamp_field:
        raise LooplineError(f"{what}: its source needs a timestamp_field")
    if not view.features:
        raise LooplineError(f"{what} declares no features; list them in its schema")
    for entity in view.entities:
        if entity not in entities and entity != DUMMY_ENTITY_NAME:
            raise LooplineError(f"{what}: its entity '{entity}' must be a variable of features.py")


def _check_names(case: UseCase, views: Sequence[StoredView]) -> None:
    """Every column of the examples needs a name of its own."""
    taken = dict.fromkeys(case.spec.tables[case.spec.entity.table].columns, f"a column of {case.spec.entity.table}")
    taken |= {FEATURE_TIME: "a column of every examples table", LABEL: "a column of every examples table"}
    for view in views:
        for feature in view.wanted:
            if feature in taken:
                raise LooplineError(
                    f"feature '{feature}' of view '{view.name}' has the name of {taken[feature]}; rename the feature"
                )
            taken[feature] = f"a feature of view '{view.name}'"


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


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known) or 'none'}"

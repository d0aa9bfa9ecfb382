"""The stored feature views of a use case, read from its features.py and checked."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feast import Entity, FeatureView, FileSource
from feast.feature_view import DUMMY_ENTITY_NAME

from loopline.components.contract.examples import FEATURE_TIME, LABEL
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.features.stored_view import StoredView


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


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known) or 'none'}"

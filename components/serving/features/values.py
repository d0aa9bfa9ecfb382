"""Values of stored features for the rows of a request: their entity keys, and which of them may still be used.

An online store keeps one value per key for ever, and Feast returns it however old it is. Serving applies the ttl as the
point-in-time join does for training: at the time of the prediction, ``lead`` before the event.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loopline.components.serving.protocol.request import InferenceRequest

Key = tuple[Any, ...]


@dataclass(frozen=True)
class View:
    """A feature view, as far as serving needs it.

    Attributes:
        join_keys: the fields that make up its entity key; none if it has one row for everything.
        ttl: maximum age of a value; zero means no limit.
        features: those that the model takes.
    """

    name: str
    join_keys: tuple[str, ...]
    ttl: timedelta
    features: tuple[str, ...]


@dataclass(frozen=True)
class StoredRow:
    """What an online store has for an entity key: values by feature, and the time they became known."""

    known_at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureValues:
    """Stored features of the rows of a request.

    Attributes:
        columns: by feature, a value for each row; None where it is missing or stale.
        missing: for each row, the features without a value. ``stale``: those whose value is too old.
    """

    columns: Mapping[str, Sequence[Any]]
    missing: Sequence[Sequence[str]]
    stale: Sequence[Sequence[str]]


def entity_keys(view: View, request: InferenceRequest) -> list[Key | None]:
    """For each row, its entity key in a view; None where a part of the key is missing."""
    if not view.join_keys:
        return [()] * request.rows
    parts = zip(*(request.columns[name] for name in view.join_keys), strict=True)
    return [None if None in key else key for key in parts]


def usable_values(
    views: Sequence[View],
    keys: Sequence[Sequence[Key | None]],
    stored: Sequence[Mapping[Key, StoredRow]],
    events: Sequence[datetime],
    lead: timedelta,
) -> FeatureValues:
    """The values that may be used, and the names of the features that are missing or stale.

    A value is stale if it is older than its view's ttl at the time of the prediction. A value that became known only
    after the event is missing: a prediction for the past must not see what happened later.

    Args:
        views: whose features are needed.
        keys: for each view, the entity keys of the rows.
        stored: for each view, what the store has by entity key.
        events: time of the event of each row.
        lead: how long before the event the prediction is made.
    """
    rows = range(len(events))
    columns: dict[str, list[Any]] = {}
    missing: list[list[str]] = [[] for _ in rows]
    stale: list[list[str]] = [[] for _ in rows]
    for view, row_keys, found in zip(views, keys, stored, strict=True):
        for feature in view.features:
            columns[feature] = [None] * len(rows)
        for row in rows:
            key = row_keys[row]
            value = None if key is None else found.get(key)
            if value is None or value.known_at > events[row]:
                missing[row].extend(view.features)
            elif view.ttl and events[row] - lead - value.known_at > view.ttl:
                stale[row].extend(view.features)
            else:
                _fill(view, value, row, columns, missing[row])
    return FeatureValues(columns, missing, stale)


def all_missing(views: Sequence[View], rows: int) -> FeatureValues:
    """Every feature missing, as when the online store cannot be read."""
    names = [feature for view in views for feature in view.features]
    return FeatureValues({name: [None] * rows for name in names}, [names] * rows, [[]] * rows)


def _fill(view: View, stored: StoredRow, row: int, columns: Mapping[str, list[Any]], missing: list[str]) -> None:
    for feature in view.features:
        value = stored.values.get(feature)
        if value is None or (type(value) is float and math.isnan(value)):
            missing.append(feature)
        else:
            columns[feature][row] = value

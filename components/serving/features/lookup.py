"""Stored features of the rows of a question: which keys to look up, and whether what is found may still be used.

An online store keeps one value per key for ever, and Feast hands it out however old it is. Its age is judged here, as
the point-in-time join judges it for training: at the moment of the prediction, ``lead`` before the event.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loopline.components.serving.protocol.request import Question

Key = tuple[Any, ...]


@dataclass(frozen=True)
class View:
    """A feature view as far as serving needs it.

    Attributes:
        join_keys: the columns that its rows are found by; none if it has one row for all.
        ttl: how old a value may be; zero is for ever.
        features: those that the model takes.
    """

    name: str
    join_keys: tuple[str, ...]
    ttl: timedelta
    features: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """What an online store holds for a key: values by feature, known since a moment."""

    since: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Stored:
    """Stored features of some rows.

    Attributes:
        columns: by feature, a value for each row; None where it is missing or stale.
        missing: for each row, the features without a value. ``stale``: those whose value is too old.
    """

    columns: Mapping[str, Sequence[Any]]
    missing: Sequence[Sequence[str]]
    stale: Sequence[Sequence[str]]


def keys(view: View, question: Question) -> list[Key | None]:
    """For each row the key that a view's values are found by; None where a part of it is missing."""
    if not view.join_keys:
        return [()] * question.rows
    parts = zip(*(question.columns[name] for name in view.join_keys), strict=True)
    return [None if None in key else key for key in parts]


def judge(
    views: Sequence[View],
    asked: Sequence[Sequence[Key | None]],
    held: Sequence[Mapping[Key, Held]],
    events: Sequence[datetime],
    lead: timedelta,
) -> Stored:
    """The values that may be used, and the names of those that may not.

    A value is stale if it is older than its view's ttl at the moment of the prediction. One that became known only
    after the event is no value: a question about the past must not be answered from what came of it.

    Args:
        views: whose features are wanted.
        asked: for each view, the keys of the rows.
        held: for each view, what the store holds by key.
        events: when the event of each row happens.
        lead: how long before it the prediction is for.
    """
    rows = range(len(events))
    columns: dict[str, list[Any]] = {}
    missing: list[list[str]] = [[] for _ in rows]
    stale: list[list[str]] = [[] for _ in rows]
    for view, keys_of_rows, found in zip(views, asked, held, strict=True):
        for feature in view.features:
            columns[feature] = [None] * len(rows)
        for row in rows:
            key = keys_of_rows[row]
            value = None if key is None else found.get(key)
            if value is None or value.since > events[row]:
                missing[row].extend(view.features)
            elif view.ttl and events[row] - lead - value.since > view.ttl:
                stale[row].extend(view.features)
            else:
                _take(view, value, row, columns, missing[row])
    return Stored(columns, missing, stale)


def nothing(views: Sequence[View], rows: int) -> Stored:
    """All features missing: what is left when the store cannot be read."""
    names = [feature for view in views for feature in view.features]
    return Stored({name: [None] * rows for name in names}, [names] * rows, [[]] * rows)


def _take(view: View, held: Held, row: int, columns: Mapping[str, list[Any]], missing: list[str]) -> None:
    for feature in view.features:
        value = held.values.get(feature)
        if value is None or (type(value) is float and math.isnan(value)):
            missing.append(feature)
        else:
            columns[feature][row] = value

"""The examples artifact: one row per entity with its features as they were known at the time of the prediction.

It is a dataset with one table, ``examples``: the entity table's columns, then ``feature_time`` (the time of the
prediction), ``label`` (float64; null where there is none, or where it was not known by the window's end), then the
stored features in the order of the signature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from loopline.components.contract.spec import UseCaseSpec

TABLE = "examples"
FEATURE_TIME = "feature_time"
LABEL = "label"
TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Feature:
    """One input of the model.

    ``kind`` is ``category`` (a string, possibly unseen in training) or ``number`` (float32, NaN where missing).
    """

    name: str
    kind: str
    view: str | None = None


def request_features(spec: UseCaseSpec) -> list[Feature]:
    """The features that come with the request, in the order of usecase.yaml; strings are categories."""
    columns = spec.tables[spec.entity.table].columns
    return [Feature(name, "category" if columns[name].type == "string" else "number") for name in spec.features.request]


def identity_columns(spec: UseCaseSpec) -> list[str]:
    """The columns that identify a row: entity keys, then the event timestamp (once, if it is also a key)."""
    return list(dict.fromkeys([*spec.entity.keys, spec.entity.timestamp]))


def facts(features: Sequence[Feature], view_versions: dict[str, str]) -> dict[str, object]:
    """What the join records in the dataset's facts: the features in order, and the version of each view."""
    return {"features": [vars(feature) for feature in features], "feature_views": view_versions}


def features_of(dataset_facts: Mapping[str, Any]) -> list[Feature]:
    """The features in order, read back from a dataset's facts."""
    return [Feature(**feature) for feature in dataset_facts["features"]]

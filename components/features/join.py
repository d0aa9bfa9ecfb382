"""The examples of a window: entity rows with their features as they were known at the time of the prediction."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import (
    FEATURE_TIME,
    LABEL,
    TABLE,
    TIMESTAMP,
    Feature,
    facts,
    request_features,
)
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import load
from loopline.components.contract.window import Window, iso
from loopline.components.errors import LooplineError
from loopline.components.features.definitions import stored_views, view_versions
from loopline.components.features.entity_frame import EVENT_TIMESTAMP
from loopline.components.features.repository import point_in_time
from loopline.components.features.stored_view import StoredView


def join_features(
    usecase: str,
    start: str,
    end: str,
    data_path: Path | str,
    history_path: Path | str,
    examples_path: Path | str,
) -> Dataset:
    """Write the examples of the window ``[start, end)``, one per entity row, in the order of the entity table.

    A feature has the value that was known ``entity.lead`` before the event. A label is null where it was not known by
    the end of the window.

    Args:
        usecase: package of the use case.
        start: first moment of the window, ISO; without a zone it is in the use case's timezone.
        end: end of the window, excluded.
        data_path: the validated dataset.
        history_path: the history built from it.
        examples_path: the folder to make.

    Returns:
        The examples, as `components.contract.examples` describes them. Their facts: ``window``, ``features`` in order,
        ``feature_views`` (version of each), ``data`` and ``history`` (digests), ``rows`` and ``labelled`` rows.

    Raises:
        LooplineError: the window has no rows, a feature has no value in all of it, the history lacks a view, or the
            feature views do not fit the entity table.
    """
    case = load(usecase)
    spec = case.spec
    window = spec.window(start, end)
    views = stored_views(case)
    data, history = Dataset.open(data_path), Dataset.open(history_path)
    entities = entity_rows(spec, data, window)
    moments = pc.subtract(entities.column(spec.entity.timestamp), pa.scalar(spec.entity.lead, pa.duration("us")))
    stored = _stored_features(spec, views, history, entities, moments)
    label = _label(spec, entities, window)
    columns = [*entities.itercolumns(), moments, label, *stored.itercolumns()]
    examples = pa.table(columns, names=[*entities.column_names, FEATURE_TIME, LABEL, *stored.column_names])
    features = [*request_features(spec), *(feature for view in views for feature in view.model_features())]
    _check_no_feature_is_empty(examples, features, window)
    return dataset.write(
        examples_path,
        {TABLE: examples},
        {
            "usecase": usecase,
            "window": [iso(window.start), iso(window.end)],
            **facts(features, view_versions(views)),
            "data": data.digest,
            "history": history.digest,
            "rows": examples.num_rows,
            "labelled": examples.num_rows - label.null_count,
        },
    )


def entity_rows(spec: UseCaseSpec, data: Dataset, window: Window) -> pa.Table:
    """The rows of the entity table with their event in a window, in the order of the table.

    Raises:
        LooplineError: there are none.
    """
    table = data.read(spec.entity.table)
    moments = table.column(spec.entity.timestamp).cast(TIMESTAMP)
    table = table.set_column(table.schema.get_field_index(spec.entity.timestamp), spec.entity.timestamp, moments)
    within = pc.and_(
        pc.greater_equal(moments, pa.scalar(window.start, TIMESTAMP)),
        pc.less(moments, pa.scalar(window.end, TIMESTAMP)),
    )
    rows = table.filter(within)
    if rows.num_rows == 0:
        raise LooplineError(
            f"table {spec.entity.table} has no rows in the window {window}; "
            f"{data.path} was made for {' to '.join(data.facts.get('window') or ['an unknown window'])}"
        )
    return rows


def join_columns(spec: UseCaseSpec, views: Sequence[StoredView], entities: pa.Table) -> list[str]:
    """The join keys of some views, in order, each a column of the entity table.

    Raises:
        LooplineError: a join key is not a column of it.
    """
    for view in views:
        for key in view.join_keys:
            if key not in entities.column_names:
                raise LooplineError(
                    f"feature view '{view.name}' is joined on '{key}', "
                    f"which is not a column of table {spec.entity.table}"
                )
    return list(dict.fromkeys(key for view in views for key in view.join_keys))


def _stored_features(
    spec: UseCaseSpec, views: Sequence[StoredView], history: Dataset, entities: pa.Table, moments: pa.ChunkedArray
) -> pa.Table:
    if not views:
        return entities.select([])
    keys = join_columns(spec, views, entities)
    rows = pa.table([*entities.select(keys).itercolumns(), moments], names=[*keys, EVENT_TIMESTAMP])
    joined = point_in_time(spec.name, views, history, rows)
    if not joined.select(rows.column_names).equals(rows):
        raise AssertionError("the point-in-time join lost, added or moved a row")
    return joined.select([feature for view in views for feature in view.wanted])


def _label(spec: UseCaseSpec, entities: pa.Table, window: Window) -> pa.ChunkedArray:
    """The label as float64; null where it was not known by the end of the window."""
    known_at = entities.column(spec.label.known_at).cast(TIMESTAMP)
    known = pc.fill_null(pc.less_equal(known_at, pa.scalar(window.end, TIMESTAMP)), fill_value=False)
    label = entities.column(spec.label.column)
    if not (pa.types.is_integer(label.type) or pa.types.is_floating(label.type) or pa.types.is_boolean(label.type)):
        raise LooplineError(
            f"label.column '{spec.label.column}' holds {label.type}; a label must be a number, or a boolean"
        )
    return pc.if_else(known, label.cast(pa.float64()), pa.scalar(None, pa.float64()))


def _check_no_feature_is_empty(examples: pa.Table, features: Sequence[Feature], window: Window) -> None:
    for feature in features:
        if examples.column(feature.name).null_count == examples.num_rows:
            where = f"view '{feature.view}'" if feature.view else "the entity table"
            raise LooplineError(
                f"feature '{feature.name}' of {where} has no value in the whole window {window}; "
                "widen features.lookback or the view's ttl, or take the feature out of usecase.yaml"
            )

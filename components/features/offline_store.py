"""Loopline's offline store for Feast: point-in-time joins by DuckDB's ASOF JOIN over Parquet files.

Named in a Feast configuration through Feast's own extension point::

    offline_store:
      type: loopline.components.features.offline_store.AsofOfflineStore

The semantics are Feast's: a row gets the value with the latest event timestamp that is not after the row's own, ties
broken by the latest created timestamp, and null if that is older than the view's ttl (an age equal to the ttl still
counts; a ttl of zero, or none, is unlimited). Every row of the entity frame comes back once, in order. A created
timestamp after the row's timestamp matters only with ``filter_by_created_timestamp``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from loopline.components.errors import LooplineError
from loopline.components.features import entity_frame, history
from loopline.components.features.asof import Lookup, as_of
from loopline.components.features.history import History
from loopline.components.features.retrieval_job import AsofRetrievalJob, parquet_path


class AsofOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Configuration: there is nothing to set."""

    type: Literal["loopline.components.features.offline_store.AsofOfflineStore"] = (
        "loopline.components.features.offline_store.AsofOfflineStore"
    )


class AsofOfflineStore(OfflineStore):  # type: ignore[misc]
    """Feast's offline store interface over `components.features.asof` and `components.features.history`."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """Feature values for each row of an entity frame, as they were known at the row's timestamp.

        Args:
            config: the repository's configuration; relative paths of sources start at its ``repo_path``.
            feature_views: the views of these features, with their projections.
            feature_refs: ``view:feature`` in the order of the result.
            entity_df: a pandas frame or, without a copy, an Arrow table: join keys, a timestamp, and anything else.
                The timestamp is the column ``event_timestamp`` or else the only one of a timestamp type; without a
                zone it is in UTC.
            registry: where on-demand views are registered.
            project: the Feast project.
            full_feature_names: name features ``view__feature``.
            filter_by_created_timestamp: leave out values whose created timestamp is after the row's timestamp.

        Raises:
            LooplineError: the frame cannot be read, or lacks a join key or a timestamp, or a feature has the name of
                one of its columns. When the result is computed: a source cannot be read.
        """
        rows, timestamp, moments = entity_frame.read(entity_df)
        lookups = [
            _lookup(view, feature_refs, config.repo_path, full_feature_names, filter_by_created_timestamp)
            for view in feature_views
        ]
        _check_columns(rows, feature_views, lookups)
        bounds = pc.min_max(moments)

        def evaluate() -> pa.Table:
            features = as_of(rows, moments, lookups)
            columns = [*rows.itercolumns(), *features.itercolumns()]
            fields = [*rows.schema, *features.schema]
            return pa.table(columns, pa.schema(fields, metadata=rows.schema.metadata))

        return AsofRetrievalJob(
            evaluate,
            config.repo_path,
            full_feature_names,
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in rows.column_names if column != timestamp],
                min_event_timestamp=bounds["min"].as_py(),
                max_event_timestamp=bounds["max"].as_py(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None,
        end_date: datetime | None,
    ) -> RetrievalJob:
        """The latest row of each key within ``[start_date, end_date]``, in the columns of the source."""
        source = History(
            str(parquet_path(data_source, config.repo_path)), timestamp_field, created_timestamp_column or None
        )
        columns = _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)

        def evaluate() -> pa.Table:
            found = history.latest(source, join_key_columns, columns, _utc(start_date), _utc(end_date))
            if join_key_columns:
                return found
            return found.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * found.num_rows, pa.string()))

        return AsofRetrievalJob(evaluate, config.repo_path)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows within ``[start_date, end_date]``, in the columns of the source."""
        source = History(
            str(parquet_path(data_source, config.repo_path)), timestamp_field, created_timestamp_column or None
        )
        columns = _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return AsofRetrievalJob(
            lambda: history.between(source, columns, _utc(start_date), _utc(end_date)), config.repo_path
        )


def _lookup(view: FeatureView, refs: Sequence[str], repository: Path, full_names: bool, known_only: bool) -> Lookup:
    if view.batch_source is None:
        raise LooplineError(f"feature view {view.name} has no batch source, so it has no history")
    source = view.batch_source
    columns = {new: old for old, new in source.field_mapping.items()}
    keys = {
        view.projection.join_key_map.get(key.name, key.name): columns.get(key.name, key.name)
        for key in view.entity_columns
        if key.name != DUMMY_ENTITY_ID
    }
    prefix = f"{view.projection.name_to_use()}:"
    features = [ref.removeprefix(prefix) for ref in refs if ref.startswith(prefix)]
    shown = f"{view.projection.name_alias or view.name}__" if full_names else ""
    return Lookup(
        History(
            str(parquet_path(source, repository)),
            columns.get(source.timestamp_field, source.timestamp_field),
            columns.get(source.created_timestamp_column, source.created_timestamp_column) or None,
        ),
        keys,
        {shown + feature: columns.get(feature, feature) for feature in features},
        view.ttl,
        known_only,
    )


def _check_columns(rows: pa.Table, views: Sequence[FeatureView], lookups: Sequence[Lookup]) -> None:
    for view, lookup in zip(views, lookups, strict=True):
        for key in lookup.keys:
            if key not in rows.column_names:
                raise LooplineError(
                    f"feature view {view.name} is joined on '{key}', but the entity rows have only the columns "
                    f"{', '.join(rows.column_names)}"
                )
        for feature in lookup.features:
            if feature in rows.column_names:
                raise LooplineError(
                    f"feature '{feature}' of view {view.name} has the name of a column of the entity rows; "
                    "ask for full feature names, or rename one of them"
                )


def _columns(*parts: Any) -> list[str]:
    """The columns to read, each once, without those that are None."""
    flat = [column for part in parts for column in ([part] if isinstance(part, str) else part or [])]
    return list(dict.fromkeys(column for column in flat if column))


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment

"""Feast over our offline store: its semantics, its interface, and the same values as Feast's own DuckDB store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from loopline.components.errors import LooplineError

TIMESTAMP = pa.timestamp("us", tz="UTC")
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
OURS = "loopline.components.features.offline_store.AsofOfflineStore"

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def at(*minutes: float | None) -> pa.Array:
    return pa.array([None if m is None else NOON + timedelta(minutes=m) for m in minutes], TIMESTAMP)


def view(name: str, path: str, *features: Field, **source: Any) -> FeatureView:
    ttl = source.pop("ttl", timedelta(minutes=60))
    where = FileSource(name=f"{name}_source", path=path, timestamp_field="event_timestamp", **source)
    return FeatureView(name=name, entities=[driver], ttl=ttl, schema=list(features), source=where)


trips = view("trips", "trips.parquet", Field(name="count", dtype=Int64), Field(name="rating", dtype=Float64))
calls = view(
    "calls", "calls.parquet", Field(name="minutes", dtype=Float64), field_mapping={"m": "minutes"}, ttl=timedelta(0)
)


@on_demand_feature_view(
    sources=[trips], schema=[Field(name="double", dtype=Float64)], mode="pandas", write_to_online_store=False
)
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"double": inputs["rating"] * 2})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("repository")
    pq.write_table(
        pa.table(
            {
                "driver_id": [1, 1, 2, 2, 3],
                "event_timestamp": at(0, 10, 0, 90, 5),
                "count": pa.array([10, 11, 20, 21, None], pa.int64()),
                "rating": [1.0, 1.5, 2.0, 2.5, 3.0],
            }
        ),
        folder / "trips.parquet",
    )
    pq.write_table(
        pa.table({"driver_id": [1, 2], "event_timestamp": at(0, 0), "m": [0.5, 0.25]}), folder / "calls.parquet"
    )
    opened = open_store(folder, OURS)
    opened.apply([driver, trips, calls, doubled])
    return opened


def open_store(folder: Path, offline: str) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="rides",
            provider="local",
            registry=str(folder / f"{offline.rsplit('.', 1)[-1]}.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": offline},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def frame(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_every_row_comes_back_once_in_its_order_with_its_other_columns(store: FeatureStore) -> None:
    rows = frame(
        note=["z", "a", "z", "q", "m"],
        driver_id=pa.array([2, 1, 2, None, 9], pa.int64()),
        event_timestamp=at(30, 10, 30, 30, 30),
    )
    found = store.get_historical_features(rows, ["trips:count", "trips:rating"]).to_arrow()
    assert found.select(rows.column_names).equals(rows)
    assert found["count"].to_pylist() == [20, 11, 20, None, None]
    assert found["rating"].to_pylist() == [2.0, 1.5, 2.0, None, None]
    assert found["count"].type == pa.int64()


def test_no_rows_give_no_rows(store: FeatureStore) -> None:
    rows = frame(driver_id=pa.array([], pa.int64()), event_timestamp=at())
    assert store.get_historical_features(rows, ["trips:count"]).to_df().columns.tolist() == [
        "driver_id",
        "event_timestamp",
        "count",
    ]


def test_a_value_is_never_from_the_future_and_never_older_than_the_ttl(store: FeatureStore) -> None:
    rows = frame(driver_id=[1, 1, 1, 1, 1], event_timestamp=at(-1, 0, 9, 70, 71))
    found = store.get_historical_features(rows, ["trips:count", "calls:minutes"]).to_arrow()
    assert found["count"].to_pylist() == [None, 10, 10, 11, None]
    assert found["minutes"].to_pylist() == [None, 0.5, 0.5, 0.5, 0.5], "a ttl of zero is none"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_pandas_frames_of_any_resolution_and_zone(store: FeatureStore, unit: str, zone: str | None) -> None:
    moments = pd.Series(pd.DatetimeIndex([NOON, NOON + timedelta(minutes=10)])).dt.as_unit(unit)
    moments = moments.dt.tz_convert(None) if zone is None else moments.dt.tz_convert(zone)
    rows = pd.DataFrame({"driver_id": [1, 1], "event_timestamp": moments}).set_index(pd.Index([7, 7]))
    found = store.get_historical_features(rows, ["trips:count"]).to_df()
    assert found["count"].tolist() == [10, 11]
    assert found["event_timestamp"].tolist() == [pd.Timestamp(NOON), pd.Timestamp(NOON + timedelta(minutes=10))]


def test_the_timestamp_may_be_text_or_have_another_name(store: FeatureStore) -> None:
    text = pd.DataFrame({"driver_id": [1], "event_timestamp": ["2013-01-01 12:10:00"]})
    assert store.get_historical_features(text, ["trips:count"]).to_df()["count"].tolist() == [11]
    named = frame(driver_id=[1], asked_at=at(10))
    assert store.get_historical_features(named, ["trips:count"]).to_arrow()["count"].to_pylist() == [11]


def test_full_feature_names(store: FeatureStore) -> None:
    rows = frame(driver_id=[1], event_timestamp=at(0), count=["mine"])
    found = store.get_historical_features(rows, ["trips:count", "calls:minutes"], full_feature_names=True).to_arrow()
    assert found.to_pylist()[0] == rows.to_pylist()[0] | {"trips__count": 10, "calls__minutes": 0.5}


def test_one_view_joined_twice_under_other_keys(store: FeatureStore) -> None:
    service = FeatureService(
        name="pairs",
        features=[
            trips[["count"]].with_name("first").with_join_key_map({"driver_id": "a"}),
            trips[["count"]].with_name("second").with_join_key_map({"driver_id": "b"}),
        ],
    )
    store.apply([service])
    rows = frame(a=[1, 2], b=[2, 1], event_timestamp=at(0, 10))
    found = store.get_historical_features(rows, service, full_feature_names=True).to_arrow()
    assert found["first__count"].to_pylist() == [10, 20]
    assert found["second__count"].to_pylist() == [20, 11]


def test_on_demand_views_are_computed_on_the_result(store: FeatureStore) -> None:
    rows = frame(driver_id=[1, 2], event_timestamp=at(0, 0))
    found = store.get_historical_features(rows, ["trips:rating", "doubled:double"]).to_df()
    assert found["double"].tolist() == [2.0, 4.0]


def test_metadata_and_saved_datasets(store: FeatureStore) -> None:
    rows = frame(driver_id=[1, 2], event_timestamp=at(0, 10))
    job = store.get_historical_features(rows, ["trips:count"])
    assert (job.metadata.features, job.metadata.keys) == (["trips:count"], ["driver_id"])
    assert job.metadata.max_event_timestamp == NOON + timedelta(minutes=10)
    storage = SavedDatasetFileStorage("saved/one.parquet")
    store.create_saved_dataset(job, "one", storage)
    assert store.get_saved_dataset("one").to_df()["count"].tolist() == [10, 20]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        store.create_saved_dataset(job, "one", storage)
    store.create_saved_dataset(job, "one", storage, allow_overwrite=True)


def test_feast_itself_can_materialise_from_it(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.materialize(NOON, NOON + timedelta(minutes=60), ["trips", "calls"])
    capsys.readouterr()
    online = store.get_online_features(["trips:count", "calls:minutes"], [{"driver_id": 1}, {"driver_id": 2}]).to_dict()
    assert online["count"] == [11, 20], "the value of minute 90 is not known yet"
    assert online["minutes"] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("select 1", "given as a query"),
        (None, "given as NoneType"),
        (frame(driver_id=[1]), "0 columns that could be their timestamp"),
        (frame(driver_id=[1], a=at(0), b=at(0)), "2 columns that could be their timestamp"),
        (frame(driver=[1], event_timestamp=at(0)), "joined on 'driver_id'"),
        (frame(driver_id=[1], event_timestamp=at(0), count=[1]), "'count' of view trips has the name of a column"),
        (frame(driver_id=[1], event_timestamp=["noon"]), "event_timestamp of the entity rows holds no timestamps"),
        (pd.DataFrame({"driver_id": [1, "x"], "event_timestamp": [NOON, NOON]}), "column of mixed types"),
    ],
)
def test_bad_entity_rows_are_one_sentence(store: FeatureStore, rows: Any, says: str) -> None:
    with pytest.raises(LooplineError, match=says):
        store.get_historical_features(rows, ["trips:count"])


def test_keys_of_another_type_are_one_sentence(store: FeatureStore) -> None:
    rows = frame(driver_id=["one"], event_timestamp=at(0))
    with pytest.raises(LooplineError, match=r"trips\.parquet cannot be read: .*one"):
        store.get_historical_features(rows, ["trips:count"]).to_arrow()


@pytest.fixture
def ibis_backend() -> Iterator[None]:
    """What Feast's DuckDB store runs on, closed again: it complains at exit otherwise."""
    backend = ibis.duckdb.connect()
    ibis.set_backend(backend)
    yield
    ibis.options.default_backend = None
    backend.disconnect()


@pytest.mark.usefixtures("ibis_backend")
@pytest.mark.parametrize("known_only", [False, True])
def test_same_values_as_the_duckdb_store_of_feast(tmp_path: Path, known_only: bool) -> None:
    """No two rows here have the same key, event and created timestamp: which of those wins, Feast leaves open."""
    random = np.random.default_rng(7)
    size = 400
    noted = [None if place % 9 == 0 else float(minutes) for place, minutes in enumerate(random.integers(0, 90, size))]
    drawn = pd.DataFrame(
        {"driver_id": random.integers(0, 6, size), "since": random.integers(0, 60, size), "noted": noted}
    )
    drawn = drawn.drop_duplicates(ignore_index=True)
    history = {
        "driver_id": drawn["driver_id"],
        "event_timestamp": at(*drawn["since"].tolist()),
        "created": at(*[None if np.isnan(minutes) else minutes for minutes in drawn["noted"]]),
        "count": drawn.index,
        "m": random.normal(size=len(drawn)),
    }
    pq.write_table(pa.table(history), tmp_path / "made.parquet")
    made = view(
        "made",
        str(tmp_path / "made.parquet"),
        Field(name="count", dtype=Int64),
        Field(name="minutes", dtype=Float64),
        created_timestamp_column="created",
        field_mapping={"m": "minutes"},
        ttl=timedelta(minutes=3),
    )
    rows = pd.DataFrame(
        {
            "row": range(300),
            "driver_id": random.integers(0, 8, 300),
            "event_timestamp": pd.Series(at(*random.integers(-2, 70, 300).tolist()).to_pandas()),
        }
    )
    answers = []
    for offline in (OURS, "duckdb"):
        opened = open_store(tmp_path, offline)
        opened.apply([driver, made])
        job = opened.get_historical_features(
            rows, ["made:count", "made:minutes"], filter_by_created_timestamp=known_only
        )
        answers.append(job.to_df().sort_values("row").reset_index(drop=True))
    ours, theirs = answers
    assert ours["count"].notna().sum() > 100
    pd.testing.assert_frame_equal(ours[theirs.columns], theirs, check_dtype=False)

"""Point-in-time join through our offline store, against a bare DuckDB query and against Feast's own DuckDB store.

The history has 200 keys with 1,000 rows each: about one an hour for six weeks. Feast's store first pairs every asking
row with all earlier rows of its key, so its cost grows with the rows per key; that of an as-of join does not.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

FEATURES = [f"feature_{number}" for number in range(8)]
REFERENCES = [f"activity:{feature}" for feature in FEATURES]
ROWS, SOME_ROWS = 300_000, 30_000
HISTORY_ROWS, KEYS, DAYS = 200_000, 200, 42
ROUNDS, FEAST_ROUNDS = 9, 1

Join = Callable[[], pa.Table]


def measure() -> list[dict[str, Any]]:
    """Seconds of a join, and their ratio to a peer's in the same call on the same files.

    Raises:
        RuntimeError: a row is lost, or a value differs from the peer's.
    """
    with TemporaryDirectory() as name, _backend_of_feast():
        folder = Path(name)
        rows = _write_history(folder)
        some = rows.slice(0, SOME_ROWS)
        ours = _open(folder, "loopline.components.features.offline_store.AsofOfflineStore")
        feast = _open(folder, "duckdb")
        frame = some.to_pandas()
        return [
            _compare(rows, _ask(ours, rows), "bare DuckDB ASOF JOIN", lambda: _bare(folder, rows), ROUNDS),
            _compare(some, _ask(ours, frame), "Feast's DuckDB store", _ask(feast, frame), FEAST_ROUNDS),
        ]


@contextmanager
def _backend_of_feast() -> Iterator[None]:
    """The DuckDB that Feast's store runs on: closed in the end, or it complains at exit."""
    backend = ibis.duckdb.connect()
    ibis.set_backend(backend)
    yield
    ibis.options.default_backend = None
    backend.disconnect()


def _write_history(folder: Path) -> pa.Table:
    """Write the history as Parquet, no key having two rows at one moment; return the rows that ask."""
    random = np.random.default_rng(7)
    seconds = DAYS * 86_400
    places = random.choice(KEYS * seconds, HISTORY_ROWS, replace=False)
    places = places[np.argsort(places % seconds, kind="stable")]
    values = {feature: random.normal(size=HISTORY_ROWS) for feature in FEATURES}
    history = {"driver": _names(places // seconds), "event_timestamp": _moments(places % seconds), **values}
    pq.write_table(pa.table(history), folder / "activity.parquet", compression="zstd", row_group_size=65_536)
    asking = {
        "driver": _names(random.integers(0, KEYS, ROWS)),
        "event_timestamp": _moments(random.integers(0, seconds, ROWS)),
        "row": np.arange(ROWS),
    }
    return pa.table(asking)


def _names(numbers: np.ndarray[Any, Any]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(numbers, [f"driver-{number}" for number in range(KEYS)]).cast(pa.string())


def _moments(seconds: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(1_356_998_400 + seconds, pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))


def _open(folder: Path, offline_store: str) -> FeatureStore:
    driver = Entity(name="driver", value_type=ValueType.STRING)
    activity = FeatureView(
        name="activity",
        entities=[driver],
        ttl=timedelta(0),
        schema=[Field(name=feature, dtype=Float64) for feature in FEATURES],
        source=FileSource(path=str(folder / "activity.parquet"), timestamp_field="event_timestamp"),
    )
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / f"{offline_store}.db"),
            offline_store={"type": offline_store},
            online_store=None,
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply([driver, activity])
    return store


def _ask(store: FeatureStore, rows: Any) -> Join:
    return lambda: store.get_historical_features(rows, REFERENCES).to_arrow()


def _bare(folder: Path, rows: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        connection.register("asking", rows)
        return connection.sql(
            f"select asking.*, {', '.join(FEATURES)} from asking "
            f"asof left join read_parquet('{folder / 'activity.parquet'}') as activity "
            "on asking.driver = activity.driver and asking.event_timestamp >= activity.event_timestamp"
        ).to_arrow_table()


def _compare(rows: pa.Table, ours: Join, name: str, peer: Join, rounds: int) -> dict[str, Any]:
    """Median seconds of both, run in turns so that whatever else the machine does falls on both."""
    ours()
    seconds: dict[Join, list[float]] = {ours: [], peer: []}
    answers = {}
    for _ in range(rounds):
        for join, taken in seconds.items():
            start = time.perf_counter()
            answers[join] = join()
            taken.append(time.perf_counter() - start)
    _check_equal(rows, answers[ours], answers[peer])
    value = statistics.median(seconds[ours])
    return {
        "name": f"point-in-time join, {rows.num_rows:,} rows x {len(FEATURES)} features",
        "value": value,
        "unit": "s",
        "peer": name,
        "ratio": value / statistics.median(seconds[peer]),
    }


def _check_equal(rows: pa.Table, ours: pa.Table, theirs: pa.Table) -> None:
    if not ours["row"].combine_chunks().equals(rows["row"].combine_chunks()):
        raise RuntimeError("the join lost, added or moved a row")
    theirs = theirs.sort_by("row")
    for column in ["row", "driver", *FEATURES]:
        if not ours[column].combine_chunks().equals(theirs[column].combine_chunks()):
            raise RuntimeError(f"{column} differs from that of the peer")

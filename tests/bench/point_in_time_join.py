"""Point-in-time join through our offline store, against a bare DuckDB query and against Feast's own DuckDB store.

The history has 500 keys with about 1,000 rows each. Feast's store first pairs every asking row with all earlier rows of
its key, so its cost grows with the rows per key; an as-of join's does not.
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
HISTORY_ROWS, KEYS, DAYS = 500_000, 500, 120
ROUNDS, FEAST_ROUNDS = 7, 3

Answer = Callable[[], pa.Table]


def measure() -> list[dict[str, Any]]:
    """Seconds of a join, and the ratio to the peer's in the same call on the same files.

    Raises:
        RuntimeError: a row is lost, or a value differs.
    """
    with TemporaryDirectory() as name, _backend_of_feast():
        folder = Path(name)
        rows = _write_history(folder)
        some = rows.slice(0, SOME_ROWS)
        ours, feast = _open(folder, "components.features.offline_store.AsofOfflineStore"), _open(folder, "duckdb")
        _check_equal(_ask(ours, rows)(), rows, lambda: _bare(folder, rows))
        _check_equal(_ask(ours, some)(), some, _ask(feast, some.to_pandas()))
        all_rows = _medians(ROUNDS, ours=_ask(ours, rows), peer=lambda: _bare(folder, rows))
        few_rows = _medians(FEAST_ROUNDS, ours=_ask(ours, some.to_pandas()), peer=_ask(feast, some.to_pandas()))
        return [
            _line(f"point-in-time join, {ROWS:,} rows x {len(FEATURES)} features", "bare DuckDB ASOF JOIN", all_rows),
            _line(
                f"point-in-time join, {SOME_ROWS:,} rows x {len(FEATURES)} features", "Feast's DuckDB store", few_rows
            ),
        ]


@contextmanager
def _backend_of_feast() -> Iterator[None]:
    """The DuckDB that Feast's store runs on: quiet while it works, and closed in the end."""
    backend = ibis.duckdb.connect()
    backend.raw_sql("set enable_progress_bar = false")
    ibis.set_backend(backend)
    yield
    ibis.options.default_backend = None
    backend.disconnect()


def _write_history(folder: Path) -> pa.Table:
    """Write the history as Parquet, no key having two rows at one moment; return the rows that ask."""
    random = np.random.default_rng(7)
    seconds = DAYS * 86_400
    places = np.unique(random.integers(0, KEYS * seconds, HISTORY_ROWS))
    keys, since = places // seconds, places % seconds
    order = np.argsort(since, kind="stable")
    values = {feature: random.normal(size=len(places)) for feature in FEATURES}
    history = {"driver": _names(keys[order]), "event_timestamp": _moments(since[order]), **values}
    pq.write_table(pa.table(history), folder / "activity.parquet", compression="zstd", row_group_size=65_536)
    asked = {
        "driver": _names(random.integers(0, KEYS, ROWS)),
        "event_timestamp": _moments(random.integers(0, seconds, ROWS)),
        "row": np.arange(ROWS),
    }
    return pa.table(asked)


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


def _ask(store: FeatureStore, rows: Any) -> Answer:
    return lambda: store.get_historical_features(rows, REFERENCES).to_arrow()


def _bare(folder: Path, rows: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("asking", rows)
        return connection.sql(
            f"select asking.*, {', '.join(FEATURES)} from asking "
            f"asof left join read_parquet('{folder / 'activity.parquet'}') as activity "
            "on asking.driver = activity.driver and asking.event_timestamp >= activity.event_timestamp"
        ).to_arrow_table()


def _check_equal(answer: pa.Table, rows: pa.Table, peer: Answer) -> None:
    if not answer.select(rows.column_names).equals(rows):
        raise RuntimeError("the join lost, added or moved a row")
    theirs = peer().sort_by("row")
    for feature in FEATURES:
        if not answer[feature].combine_chunks().equals(theirs[feature].combine_chunks()):
            raise RuntimeError(f"{feature} differs from the peer's")


def _medians(rounds: int, **contenders: Answer) -> dict[str, float]:
    """Median seconds of each, measured in turns so that what else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _line(name: str, peer: str, seconds: dict[str, float]) -> dict[str, Any]:
    ratio = seconds["ours"] / seconds["peer"]
    return {"name": name, "value": seconds["ours"], "unit": "s", "peer": peer, "ratio": ratio}

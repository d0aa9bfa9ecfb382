"""The prediction log: never in the way, every row accounted for, whole files here and in an object store, labels."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from serving_case import NOON, USECASE, Served

from loopline.components.contract import prediction_log, prediction_log_files, usecase
from loopline.components.contract.examples import TIMESTAMP
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.deployment.analysis.labels import with_labels
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, storage
from loopline.components.serving.telemetry.prediction_log import PredictionLog


@pytest.fixture(scope="module")
def spec(served: Served) -> UseCaseSpec:
    return usecase.load(served.package).spec


def row(number: int, at: datetime = NOON, **changes: Any) -> tuple[Any, ...]:
    values = {
        "time": at,
        "model_version": "3",
        "failed": False,
        "latency_seconds": 0.01,
        "score": 0.5,
        "request_id": f"r{number}",
        "row": 0,
        "features_digest": "abc",
        "line": "M1",
        "trip": number,
        "departs_at": NOON,
    }
    return tuple((values | changes).values())


def writer(uri: Path | str, spec: UseCaseSpec, **changes: Any) -> PredictionLog:
    options = {"writer": "v3-here", "interval_seconds": 0.05} | changes
    return PredictionLog(str(uri), prediction_log_files.schema(spec), **options)


def test_every_row_is_in_the_log_after_the_end(tmp_path: Path, spec: UseCaseSpec) -> None:
    log = writer(tmp_path / "log", spec)
    for number in range(500):
        log.add(row(number))
        if number % 100 == 0:
            time.sleep(0.06)
    log.close(10)
    table = prediction_log_files.read(str(tmp_path / "log"))
    assert sorted(table["trip"].to_pylist()) == list(range(500))
    assert (log.written, log.dropped, log.queued) == (500, 0, 0)
    assert len(storage.names(str(tmp_path / "log"))) > 1, "it grew while rows came"
    assert prediction_log.expect(table)["label"].null_count == 500


def test_files_lie_by_day_and_none_is_half_there(tmp_path: Path, spec: UseCaseSpec) -> None:
    log = writer(tmp_path, spec, interval_seconds=60)
    log.add(row(1))
    log.add(row(2, NOON + timedelta(days=1)))
    log.close(10)
    assert storage.names(str(tmp_path)) == [
        "date=2024-03-20/v3-here-000000.parquet",
        "date=2024-03-21/v3-here-000001.parquet",
    ]
    (tmp_path / "date=2024-03-21" / f"x.parquet{atomic.PARTIAL}1").write_bytes(b"half")
    assert len(prediction_log_files.read(str(tmp_path))) == 2
    late = prediction_log_files.read(str(tmp_path), since=NOON + timedelta(hours=1))
    assert late["trip"].to_pylist() == [2]


def test_rows_beyond_the_queue_are_dropped_and_counted(tmp_path: Path, spec: UseCaseSpec) -> None:
    log = writer(tmp_path, spec, interval_seconds=60, max_queued=10)
    started = time.perf_counter()
    for number in range(1000):
        log.add(row(number))
    assert time.perf_counter() - started < 1
    assert (log.queued, log.dropped) == (10, 990)
    log.close(10)
    assert (log.written, log.dropped) == (10, 990)
    assert len(prediction_log_files.read(str(tmp_path))) == 10


def test_a_folder_that_cannot_be_written_is_retried(tmp_path: Path, spec: UseCaseSpec) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    log = writer(tmp_path / "log", spec)
    log.add(row(1))
    time.sleep(0.3)
    assert (log.written, log.queued, log.dropped) == (0, 1, 0)
    (tmp_path / "log").unlink()
    log.close(10)
    assert (log.written, log.queued) == (1, 0)


def test_rows_that_cannot_be_written_at_shutdown_are_counted_as_dropped(tmp_path: Path, spec: UseCaseSpec) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    log = writer(tmp_path / "log", spec, interval_seconds=60)
    log.add(row(1))
    log.close(10)
    assert (log.written, log.dropped) == (0, 1)


def test_it_goes_to_an_object_store(bucket: str, spec: UseCaseSpec) -> None:
    log = writer(f"{bucket}/log", spec)
    for number in range(20):
        log.add(row(number))
    log.close(30)
    assert (log.written, log.dropped) == (20, 0)
    table = prediction_log_files.read(f"{bucket}/log")
    assert sorted(table["trip"].to_pylist()) == list(range(20))
    assert prediction_log_files.read(f"{bucket}/nothing").num_rows == 0


def test_an_address_that_nothing_can_be_written_to_is_refused(spec: UseCaseSpec) -> None:
    with pytest.raises(LooplineError, match="ftp://somewhere cannot be read or written"):
        writer("ftp://somewhere", spec)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "date=2024-03-20").mkdir()
    (tmp_path / "date=2024-03-20" / "x.parquet").write_text("nothing")
    with pytest.raises(LooplineError, match=r"x\.parquet cannot be read as part of a prediction log"):
        prediction_log_files.read(str(tmp_path))


def test_a_key_with_the_name_of_a_column_is_refused(tmp_path: Path) -> None:
    text = USECASE.format(task="regression").replace("keys: [line, trip]", "keys: [score]")
    (tmp_path / "usecase.yaml").write_text(
        text.replace("      trip: {type: integer, min: 0}", "      score: {type: float}")
    )
    with pytest.raises(LooplineError, match="entity key 'score' has the name of a column of every prediction log"):
        prediction_log_files.schema(usecase.read_spec(tmp_path / "usecase.yaml"))


def labelled(log: pa.Table, spec: UseCaseSpec, known_by: datetime = NOON + timedelta(hours=2)) -> list[Any]:
    trips = [1, 2, 3]
    entities = pa.table(
        {
            "line": ["M1", "M1", "M1"],
            "trip": pa.array(trips, pa.int64()),
            "departs_at": pa.array([NOON] * 3, TIMESTAMP),
            "late": pa.array([1, 0, 1], pa.int64()),
            "arrived_at": pa.array([NOON + timedelta(hours=hours) for hours in (1, 1, 3)], TIMESTAMP),
        }
    )
    return with_labels(log, entities, spec, known_by)["label"].to_pylist()


def log_of(spec: UseCaseSpec, *rows: tuple[Any, ...]) -> pa.Table:
    schema = prediction_log_files.schema(spec)
    columns = zip(zip(*rows, strict=True), schema, strict=True)
    return pa.table([pa.array(values, field.type) for values, field in columns], schema=schema)


def test_rows_get_the_label_of_their_entity_once_it_is_known(spec: UseCaseSpec) -> None:
    log = log_of(spec, row(3), row(2), row(1), row(9), row(1), row(1, line=None))
    assert labelled(log, spec) == [None, 0.0, 1.0, None, 1.0, None]
    assert labelled(log, spec, NOON + timedelta(hours=3))[0] == 1.0
    assert labelled(log, spec, NOON) == [None] * 6
    again = log.append_column("label", pa.nulls(6, pa.float64()))
    assert labelled(again, spec) == [None, 0.0, 1.0, None, 1.0, None]


def test_an_entity_that_is_there_twice_is_refused(spec: UseCaseSpec) -> None:
    log = log_of(spec, row(1))
    entities = pa.table(
        {
            "line": ["M1", "M1"],
            "trip": [1, 1],
            "departs_at": pa.array([NOON] * 2, TIMESTAMP),
            "late": [0, 1],
            "arrived_at": pa.array([NOON] * 2, TIMESTAMP),
        }
    )
    with pytest.raises(LooplineError, match="has an entity more than once"):
        with_labels(log, entities, spec, datetime.now(UTC))
    with pytest.raises(LooplineError, match="table trips has no column late"):
        with_labels(log, entities.drop_columns(["late"]), spec, datetime.now(UTC))

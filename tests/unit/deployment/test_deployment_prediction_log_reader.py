"""What was answered, with the labels that were known when the latest question was asked."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from loopline.components.contract import prediction_log, prediction_log_files, usecase
from loopline.components.deployment.analysis.prediction_log_reader import PredictionLogReader
from loopline.components.errors import LooplineError

CASE = usecase.load("tests.usecases.temperature")
ASKED = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def events():
    """Two days of events of the use case, in their order."""
    start = datetime(2013, 5, 21, tzinfo=UTC)
    table = pa.table(CASE.source.tables(start, start + timedelta(days=2))[CASE.spec.entity.table])
    return table.sort_by(CASE.spec.entity.timestamp)


@pytest.fixture
def log(tmp_path, events):
    """Each asked once, a second apart."""
    schema = prediction_log_files.schema(CASE.spec)
    rows = len(events)
    columns = {
        prediction_log.TIME: [ASKED + timedelta(seconds=n) for n in range(rows)],
        prediction_log.VERSION: ["1"] * rows,
        prediction_log.FAILED: [False] * rows,
        prediction_log.SCORE: [50.0] * rows,
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else events[field.name].cast(field.type).combine_chunks()
        if field.name in events.column_names
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    folder = tmp_path / "log" / "date=2026-01-01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(arrays, schema=schema), folder / "writer-000000.parquet")
    return str(tmp_path / "log")


def test_labels_are_those_that_were_known_at_the_latest_question(log, events):
    spec = CASE.spec
    seen = PredictionLogReader(CASE, log).since(ASKED)
    present = pc.max(events[spec.entity.timestamp]).as_py() - spec.entity.lead
    known = pc.less_equal(events[spec.label.known_at].cast(pa.timestamp("us", "UTC")), pa.scalar(present))
    expected = pc.sum(pc.fill_null(pc.and_(known, pc.is_valid(events[spec.label.column])), fill_value=False)).as_py()
    labelled = len(seen) - seen[prediction_log.LABEL].null_count
    assert labelled == expected
    assert 0 < labelled < len(seen)


def test_rows_before_the_moment_are_left_out(log, events):
    assert len(PredictionLogReader(CASE, log).since(ASKED + timedelta(seconds=10))) == len(events) - 10


def test_the_source_is_asked_once_for_what_lies_close(log, monkeypatch):
    calls, tables = [], CASE.source.tables
    monkeypatch.setattr(CASE.source, "tables", lambda *window: calls.append(window) or tables(*window))
    observed = PredictionLogReader(CASE, log)
    for seconds in (0, 5, 20):
        observed.since(ASKED + timedelta(seconds=seconds))
    assert len(calls) == 1


def test_no_log_yet(tmp_path):
    assert len(PredictionLogReader(CASE, str(tmp_path / "log")).since(ASKED)) == 0


def test_a_damaged_log(log):
    from pathlib import Path

    (Path(log) / "date=2026-01-01" / "writer-000001.parquet").write_text("no parquet")
    with pytest.raises(LooplineError, match="cannot be read as part of a prediction log"):
        PredictionLogReader(CASE, log).since(ASKED)

"""Batch prediction: examples in, predictions out, every row accounted for."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import dataset
from components.contract.dataset import Dataset
from components.contract.examples import FEATURE_TIME, TABLE, identity_columns
from components.contract.model import Model
from components.contract.usecase import load
from components.contract.window import parse_time
from components.inference.fit import expect_fit
from components.inference.quarantine import nothing, refused_in_window, set_aside
from components.inference.scoring import scoring, split

PREDICTIONS = "predictions"
QUARANTINE = "quarantine"
# Read, scored and written at a time. A few batches are in memory at once, with all their features.
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Predicted:
    """What became of the rows of a window; ``rows_in`` is ``rows_out`` plus ``rows_quarantined``.

    ``digest`` is that of the predictions dataset, ``rows_per_second`` counts everything from opening to closing files.
    """

    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_per_second: float
    digest: str


def predict(
    usecase: str,
    model_path: Path | str,
    version: str,
    examples_path: Path | str,
    quarantine_path: Path | str,
    predictions_path: Path | str,
    batch_rows: int = BATCH_ROWS,
) -> Predicted:
    """Score every example, in order, and write the predictions dataset; memory grows only with the rows set aside.

    Its table ``predictions`` has the identity columns, ``feature_time``, ``probability`` (``prediction`` for a
    regression) and ``model_version``. Its table ``quarantine`` has the identity columns as text and a ``reason``: the
    rows without a usable score, and those that data validation had taken out of the same window. Its facts:
    ``usecase``, ``window``, ``model`` and ``examples`` (digests), ``model_version``, ``rows_in``, ``rows_out``,
    ``rows_quarantined``.

    Args:
        usecase: package of the use case.
        model_path: the packaged model.
        version: its version in the registry.
        examples_path: the examples of the window.
        quarantine_path: what data validation quarantined.
        predictions_path: the folder to make.
        batch_rows: rows that are read, scored and written at a time; the predictions do not depend on it.

    Raises:
        LooplineError: the model is for another task or other features than these examples have, or the disk is full.
        CorruptArtifactError: the model, the examples or the quarantine are not what they were written as.
    """
    began = time.perf_counter()
    spec = load(usecase).spec
    identity = identity_columns(spec)
    model, examples, refused = Model.open(model_path), Dataset.open(examples_path), Dataset.open(quarantine_path)
    expect_fit(model.signature, examples, spec)

    left_out = refused_in_window(refused, spec, parse_time(examples.facts["window"][0]))
    facts: dict[str, Any] = {
        "usecase": usecase,
        "window": examples.facts["window"],
        "model": model.digest,
        "model_version": version,
        "examples": examples.digest,
        "rows_in": examples.rows(TABLE) + sum(map(len, left_out)),
        "rows_out": 0,
        "rows_quarantined": 0,
    }
    columns = list(dict.fromkeys([*identity, FEATURE_TIME, *model.signature.names]))
    # Arrow's count of cores: OMP_NUM_THREADS sets it where a container may use fewer than it sees.
    score = scoring(model.path, version, identity, workers=pa.cpu_count())
    scored = score(_read(examples.file(TABLE), columns, batch_rows))
    unusable = [nothing(identity)]
    tables = {
        PREDICTIONS: _usable(scored, unusable, identity, facts),
        QUARANTINE: _quarantined(unusable, left_out, facts),
    }
    written = dataset.write(predictions_path, tables, facts)
    counts = {name: facts[name] for name in ("rows_in", "rows_out", "rows_quarantined")}
    return Predicted(**counts, rows_per_second=facts["rows_in"] / (time.perf_counter() - began), digest=written.digest)


def _read(file: Path, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, batch by batch; one empty batch if there are none."""
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        if parquet.metadata.num_rows == 0:
            schema = parquet.schema_arrow
            yield pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in columns]))
        yield from parquet.iter_batches(batch_rows, columns=columns)


def _usable(
    scored: Iterable[pa.RecordBatch], unusable: list[pa.RecordBatch], identity: Sequence[str], facts: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """The rows to publish; the others are put by in ``unusable``."""
    for batch in scored:
        good, bad = split(batch)
        if len(bad):
            unusable.append(set_aside(bad, identity))
        facts["rows_out"] += len(good)
        yield good


def _quarantined(
    unusable: Iterable[pa.RecordBatch], left_out: Iterable[pa.RecordBatch], facts: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """The rows not to publish, in one batch. They come last, so this is where the count is closed."""
    rows = pa.concat_batches([*unusable, *left_out])
    facts["rows_quarantined"] = len(rows)
    if facts["rows_in"] != facts["rows_out"] + facts["rows_quarantined"]:
        raise RuntimeError(f"rows were lost or made up: {facts}")
    yield rows

"""Batch prediction in one process."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import FEATURE_TIME, TABLE, identity_columns
from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import load
from loopline.components.inference import predictions
from loopline.components.inference.predictions import COUNTS, lineage
from loopline.components.inference.scoring import score_function
from loopline.components.inference.signature_check import check_signature

# A few batches of this size are in memory at once, with all their features.
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Predicted:
    """Counts of a prediction; ``rows_in`` is ``rows_out`` plus ``rows_quarantined``.

    ``digest`` is the digest of the predictions dataset; ``rows_per_second`` includes opening and closing files.
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
    """Score every example, in order, and write the predictions dataset (see `components.inference.predictions`).

    Args:
        usecase: package of the use case.
        model_path: the packaged model.
        version: its version in the registry.
        examples_path: the examples of the window.
        quarantine_path: what data validation quarantined.
        predictions_path: the folder to make.
        batch_rows: rows in a batch; the predictions do not depend on it.

    Raises:
        LooplineError: the model is for another task or other features than these examples have, or the disk is full.
        CorruptArtifactError: the model, the examples or the quarantine do not have the digests they were written with.
    """
    began = time.perf_counter()
    spec = load(usecase).spec
    model, examples, invalid = Model.open(model_path), Dataset.open(examples_path), Dataset.open(quarantine_path)
    check_signature(model.signature, examples, spec)
    rows = examples.rows(TABLE)
    # Arrow counts cores; OMP_NUM_THREADS overrides it in a container that may use fewer than it sees.
    score = score_function(model.path, version, identity_columns(spec), workers=pa.cpu_count())
    with pq.ParquetFile(examples.file(TABLE), pre_buffer=False) as file:
        scored = score(read(file, columns_to_read(model, spec), range(rows), batch_rows))
        written = predictions.write(
            predictions_path, scored, rows, invalid, spec, lineage(usecase, model, version, examples)
        )
    counts = {name: written.facts[name] for name in COUNTS}
    return Predicted(**counts, rows_per_second=counts["rows_in"] / (time.perf_counter() - began), digest=written.digest)


def columns_to_read(model: Model, spec: UseCaseSpec) -> list[str]:
    """The columns of the examples that scoring needs."""
    return list(dict.fromkeys([*identity_columns(spec), FEATURE_TIME, *model.signature.names]))


def read(file: pq.ParquetFile, columns: Sequence[str], rows: range, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Read consecutive rows of a Parquet file in batches; yields one empty batch if there are no rows.

    Args:
        file: the open file; only the row groups that hold the rows are read.
        columns: which columns, in this order.
        rows: which rows, by position.
        batch_rows: the most rows in a batch.
    """
    groups: list[int] = []
    first = position = 0
    for group in range(file.num_row_groups):
        start, position = position, position + file.metadata.row_group(group).num_rows
        if start < rows.stop and position > rows.start:
            first = first if groups else start
            groups.append(group)
    if not len(rows):
        schema = file.schema_arrow
        yield pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in columns]))
        return
    position = first
    for batch in file.iter_batches(batch_rows, row_groups=groups, columns=list(columns)):
        start, stop = max(rows.start - position, 0), min(rows.stop - position, len(batch))
        position += len(batch)
        if start < stop:
            yield batch.slice(start, stop - start).select(list(columns))

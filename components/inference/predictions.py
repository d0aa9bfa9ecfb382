"""The predictions dataset: rows to publish, and quarantined rows with reasons. No row is lost."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopline.components.contract import dataset
from loopline.components.contract.dataset import ROW_GROUP, Dataset
from loopline.components.contract.examples import identity_columns
from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.window import parse_time
from loopline.components.inference.quarantine import invalid_in_window, no_rows, quarantine_rows
from loopline.components.inference.scoring import split

PREDICTIONS = "predictions"
QUARANTINE = "quarantine"
COUNTS = ("rows_in", "rows_out", "rows_quarantined")


def lineage(usecase: str, model: Model, version: str, examples: Dataset) -> dict[str, Any]:
    """The inputs of scored rows, as facts of the dataset that holds them."""
    return {
        "usecase": usecase,
        "window": examples.facts["window"],
        "model": model.digest,
        "model_version": version,
        "examples": examples.digest,
    }


def write(
    path: Path | str,
    scored: Iterable[pa.RecordBatch],
    rows: int,
    invalid: Dataset,
    spec: UseCaseSpec,
    origin: dict[str, Any],
) -> Dataset:
    """Write the predictions dataset; only the quarantined rows are all in memory at once.

    Its table ``predictions`` has the identity columns, ``feature_time``, ``probability`` (``prediction`` for a
    regression) and ``model_version``. Its table ``quarantine`` has the identity columns as text and a ``reason``: the
    rows without a usable score, and those of the window that data validation quarantined. Its facts are those of
    `lineage`, ``rows_in``, ``rows_out`` and ``rows_quarantined``. The bytes do not depend on the size of batches.

    Args:
        path: the folder to make.
        scored: every row of the window in order, as `loopline.components.inference.scoring` yields them.
        rows: how many there are.
        invalid: what data validation quarantined.
        spec: the use case.
        origin: what `lineage` returns.

    Raises:
        LooplineError: ``invalid`` is not a quarantine of this entity, or the disk is full.
    """
    identity = identity_columns(spec)
    invalid_rows = invalid_in_window(invalid, spec, parse_time(origin["window"][0]))
    facts = {**origin, "rows_in": rows + sum(map(len, invalid_rows)), "rows_out": 0, "rows_quarantined": 0}
    unusable = [no_rows(identity)]
    tables = {
        PREDICTIONS: in_row_groups(_usable(scored, unusable, identity, facts)),
        QUARANTINE: _quarantined(unusable, invalid_rows, facts),
    }
    return dataset.write(path, tables, facts)


def in_row_groups(batches: Iterable[pa.RecordBatch], rows: int = ROW_GROUP) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly ``rows``; the last batch has the remainder, and may be empty.

    Args:
        batches: at least one, possibly empty.
        rows: rows in a batch.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= rows:
            whole = pa.concat_batches(waiting)
            full = len(whole) // rows * rows
            yield from (whole.slice(start, rows) for start in range(0, full, rows))
            waiting = [whole.slice(full)]
    yield pa.concat_batches(waiting)


def _usable(
    scored: Iterable[pa.RecordBatch], unusable: list[pa.RecordBatch], identity: Sequence[str], facts: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """The rows to publish; the others are appended to ``unusable``."""
    for batch in scored:
        usable, without_score = split(batch)
        if len(without_score):
            unusable.append(quarantine_rows(without_score, identity))
        facts["rows_out"] += len(usable)
        yield usable


def _quarantined(
    unusable: Iterable[pa.RecordBatch], invalid: Iterable[pa.RecordBatch], facts: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """The quarantined rows in one batch. They are written last, so the counts are final here."""
    rows = pa.concat_batches([*unusable, *invalid])
    facts["rows_quarantined"] = len(rows)
    if facts["rows_in"] != facts["rows_out"] + facts["rows_quarantined"]:
        raise RuntimeError(f"rows were lost or duplicated: {facts}")
    yield rows

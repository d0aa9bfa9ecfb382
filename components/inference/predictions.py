"""The predictions dataset: from scored rows to those to publish and those to quarantine, every row accounted for."""

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
from loopline.components.inference.quarantine import nothing, refused_in_window, set_aside
from loopline.components.inference.scoring import split

PREDICTIONS = "predictions"
QUARANTINE = "quarantine"
COUNTS = ("rows_in", "rows_out", "rows_quarantined")


def lineage(usecase: str, model: Model, version: str, examples: Dataset) -> dict[str, Any]:
    """What scored rows come from, as facts of the dataset that holds them."""
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
    refused: Dataset,
    spec: UseCaseSpec,
    origin: dict[str, Any],
) -> Dataset:
    """Write the predictions dataset; memory grows only with the rows set aside.

    Its table ``predictions`` has the identity columns, ``feature_time``, ``probability`` (``prediction`` for a
    regression) and ``model_version``. Its table ``quarantine`` has the identity columns as text and a ``reason``: the
    rows without a usable score, and those that data validation had taken out of the same window. Its facts are those of
    `lineage`, ``rows_in``, ``rows_out`` and ``rows_quarantined``. The bytes do not depend on how the rows are batched.

    Args:
        path: the folder to make.
        scored: every row of the window in order, as `loopline.components.inference.scoring` gives them.
        rows: how many they are.
        refused: what data validation quarantined.
        spec: the use case.
        origin: what `lineage` gives.

    Raises:
        LooplineError: the quarantine is none, or the disk is full.
    """
    identity = identity_columns(spec)
    left_out = refused_in_window(refused, spec, parse_time(origin["window"][0]))
    facts = {**origin, "rows_in": rows + sum(map(len, left_out)), "rows_out": 0, "rows_quarantined": 0}
    unusable = [nothing(identity)]
    tables = {
        PREDICTIONS: in_groups(_usable(scored, unusable, identity, facts)),
        QUARANTINE: _quarantined(unusable, left_out, facts),
    }
    return dataset.write(path, tables, facts)


def in_groups(batches: Iterable[pa.RecordBatch], rows: int = ROW_GROUP) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of just so many; the last has what is left, and may be empty.

    Args:
        batches: at least one, possibly empty.
        rows: how many.
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

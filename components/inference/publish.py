"""Publish predictions, partitioned by the local date of the event."""

import json
from pathlib import Path
from typing import Any

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.usecase import load
from loopline.components.contract.window import Window
from loopline.components.errors import LooplineError
from loopline.components.inference.object_snapshots import ObjectSnapshots
from loopline.components.inference.partitions import LocalDays, write_by_day
from loopline.components.inference.snapshots import Snapshots
from loopline.components.io import atomic
from loopline.components.io.storage import filesystem, is_remote

TABLE = "predictions"
PARTITION = "date"
OTHER_PARTITION = "event_date"


def publish(
    usecase: str, start: str, end: str, destination: Path | str, predictions_path: Path | str, receipt_path: Path | str
) -> dict[str, Any]:
    """Publish the predictions of a window as Hive-partitioned Parquet, all or nothing.

    Readers find ``<destination>/current/date=YYYY-MM-DD/part-0.parquet``, by the local date of the event in the use
    case's timezone, with the columns of the predictions. (The partition key is ``event_date`` where ``date`` is one of
    the columns. In an object store ``<destination>/current.json`` names the snapshot that has these partitions.) The
    dates in [start, end) are replaced, and removed if they have no rows any more; others are kept. Publishing the same
    predictions again changes nothing.

    Args:
        usecase: package of the use case.
        start: first moment of the window; it must begin a local day.
        end: end of the window, excluded; it must begin a local day.
        destination: the folder to publish under, or ``s3://bucket/prefix``.
        predictions_path: predictions of exactly this window.
        receipt_path: the JSON file to write.

    Returns:
        The receipt: ``path`` for readers, ``snapshot`` that it points to, ``partition`` (its key), ``window``,
        ``dates`` {date: rows} of the window, ``rows``, ``rows_in``, ``rows_out``, ``rows_quarantined``,
        ``model_version``, and the digests ``model`` and ``predictions``.

    Raises:
        LooplineError: the window is not whole days or not that of the predictions, no row could be predicted,
            or the destination cannot be written.
        CorruptArtifactError: the predictions do not have the digest they were written with.
    """
    spec = load(usecase).spec
    window = spec.window(start, end)
    days = LocalDays.of(window, spec.timezone)
    predictions = Dataset.open(predictions_path)
    _expect_publishable(predictions, window)

    columns = predictions.tables[TABLE]["columns"]
    partition = OTHER_PARTITION if PARTITION in columns else PARTITION
    dates: dict[str, int] = {}

    def write(folder: Path) -> None:
        dates.update(write_by_day(predictions.file(TABLE), spec.entity.timestamp, days, folder, partition))

    snapshots = _snapshots(destination)
    snapshot = snapshots.replace([f"{partition}={name}" for name in days.names], write)
    facts = predictions.facts
    receipt = {
        "path": str(snapshots.link),
        "snapshot": snapshot,
        "partition": partition,
        "window": facts["window"],
        "dates": dates,
        "rows": sum(dates.values()),
        **{name: facts[name] for name in ("rows_in", "rows_out", "rows_quarantined", "model_version", "model")},
        "predictions": predictions.digest,
    }
    atomic.write_text(Path(receipt_path), json.dumps(receipt, indent=1))
    return receipt


def _snapshots(destination: Path | str) -> Snapshots | ObjectSnapshots:
    _, path = filesystem(destination)
    return ObjectSnapshots(str(destination)) if is_remote(destination) else Snapshots(path)


def _expect_publishable(predictions: Dataset, window: Window) -> None:
    """Raise LooplineError for predictions of another window, or without any predicted row."""
    facts = predictions.facts
    if TABLE not in predictions.tables or "rows_out" not in facts:
        raise LooplineError(f"{predictions.path} holds no predictions but {', '.join(predictions.tables)}")
    predicted = Window.parse(*facts["window"])
    if predicted != window:
        raise LooplineError(
            f"the predictions in {predictions.path} are of {predicted}, not of {window}; "
            "publish the window that was predicted"
        )
    if facts["rows_in"] and not facts["rows_out"]:
        raise LooplineError(
            f"model version {facts['model_version']} could predict none of the {facts['rows_in']} rows from {window}: "
            f"nothing is published; the reasons are in {predictions.file('quarantine')}"
        )

"""The writer of the prediction log: queues rows, and writes them as Parquet files in a thread of its own."""

import logging
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.contract import prediction_log
from loopline.components.contract.prediction_log_files import file_of
from loopline.components.io import storage

# Maximum rows in the queue: some tens of megabytes.
MAX_QUEUED_ROWS = 100_000
logger = logging.getLogger(__name__)

Row = tuple[Any, ...]


class PredictionLog:
    """Queues rows without blocking, and writes them at an interval.

    A row is dropped and counted if the queue is full. A file that cannot be written is retried while more rows queue
    up. If the process is killed, the rows since the last file are lost.

    Args:
        uri: of the log.
        schema: of its rows.
        writer: part of the file names; unique to this process.
        interval_seconds: time between two files.
        max_queued: rows that may be queued.

    Attributes:
        written: rows in files. ``dropped``: rows that were lost.

    Raises:
        LooplineError: the URI cannot be written to.
    """

    def __init__(
        self, uri: str, schema: pa.Schema, writer: str, interval_seconds: float, max_queued: int = MAX_QUEUED_ROWS
    ) -> None:
        storage.check_uri(uri)
        self._uri = uri
        self._schema = schema
        self._time = schema.get_field_index(prediction_log.TIME)
        self._writer = writer
        self._interval_seconds = interval_seconds
        self._max_queued = max_queued
        self._rows: deque[Row] = deque()
        self._batch: list[Row] = []  # taken by the thread, and not written yet
        self._closing = threading.Event()
        self._files = 0
        self.written = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows) + len(self._batch)

    def add(self, row: Row) -> None:
        """Queue a row: values in the order of the schema."""
        if self.queued >= self._max_queued:
            self.dropped += 1
        else:
            self._rows.append(row)

    def close(self, timeout_seconds: float) -> None:
        """Write the queued rows and stop; rows that cannot be written in time are dropped and counted."""
        self._closing.set()
        self._thread.join(timeout_seconds)
        if lost := self.queued:
            self.dropped += lost
            logger.error("rows of the prediction log were lost at shutdown", extra={"rows": lost})

    def _run(self) -> None:
        while not self._closing.wait(self._interval_seconds):
            self._write_queued()
        self._write_queued()

    def _write_queued(self) -> None:
        for _ in range(len(self._rows)):  # one by one, as others add rows meanwhile
            self._batch.append(self._rows.popleft())
        for day, rows in groupby(list(self._batch), key=lambda row: row[self._time].date()):
            part = list(rows)
            try:
                self._write(day, part)
            except Exception:  # whatever it is, the rows stay queued and the thread goes on
                logger.exception("the prediction log cannot be written", extra={"queued": self.queued})
                return
            del self._batch[: len(part)]
            self.written += len(part)

    def _write(self, day: date, rows: Sequence[Row]) -> None:
        columns = [
            pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        with tempfile.TemporaryDirectory(prefix="loopline-log-") as folder:
            file = Path(folder) / "rows.parquet"
            pq.write_table(pa.table(columns, schema=self._schema), file, compression="zstd")
            storage.put(file, file_of(self._uri, day, self._writer, self._files))
        self._files += 1

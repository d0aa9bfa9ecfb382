"""The writer of the prediction log: takes rows at once, and writes whole Parquet files in a thread of its own."""

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

# Rows that wait for the thread at most: some tens of megabytes.
WAITING_ROWS = 100_000
logger = logging.getLogger(__name__)

Row = tuple[Any, ...]


class PredictionLog:
    """Takes rows without ever waiting, and writes them soon after.

    A row is dropped and counted if too many wait already. A file that cannot be written is tried again, while more rows
    wait. Killed without warning, the process loses the rows since the last file.

    Args:
        uri: where the log is.
        schema: of its rows.
        writer: names whoever writes, in the names of the files; no two write under one name.
        seconds: time from one file to the next.
        most: rows that may wait.

    Raises:
        LooplineError: the address is none that can be written to.
    """

    def __init__(self, uri: str, schema: pa.Schema, writer: str, seconds: float, most: int = WAITING_ROWS) -> None:
        storage.check_uri(uri)
        self._uri = uri
        self._schema = schema
        self._time = schema.get_field_index(prediction_log.TIME)
        self._writer = writer
        self._seconds = seconds
        self._most = most
        self._rows: deque[Row] = deque()
        self._taken: list[Row] = []  # by the thread, and not written yet
        self._closing = threading.Event()
        self._files = 0
        self.written = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait for the thread."""
        return len(self._rows) + len(self._taken)

    def add(self, row: Row) -> None:
        """Take a row: values in the order of the schema."""
        if self.waiting >= self._most:
            self.dropped += 1
        else:
            self._rows.append(row)

    def close(self, seconds: float) -> None:
        """Write what waits, and end; what cannot be written within so many seconds is dropped and counted."""
        self._closing.set()
        self._thread.join(seconds)
        if lost := self.waiting:
            self.dropped += lost
            logger.error("rows of the prediction log were lost at the end", extra={"rows": lost})

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        for _ in range(len(self._rows)):  # one by one, since others add meanwhile
            self._taken.append(self._rows.popleft())
        for day, of_day in groupby(list(self._taken), key=lambda row: row[self._time].date()):
            part = list(of_day)
            try:
                self._write(day, part)
            except Exception:  # whatever it is, the rows wait on and the thread lives
                logger.exception("the prediction log cannot be written", extra={"waiting": self.waiting})
                return
            del self._taken[: len(part)]
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

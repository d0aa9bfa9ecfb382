"""Hive partitions of predictions, one for each local day."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loopline.components.contract.dataset import ROW_GROUP
from loopline.components.contract.examples import TIMESTAMP
from loopline.components.contract.window import Window, parse_time
from loopline.components.errors import LooplineError

FILE = "part-0.parquet"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class LocalDays:
    """The days of a window in a timezone.

    Attributes:
        window: from the first to the last of them.
        names: as ``YYYY-MM-DD``, in order.
        begins: when each begins, in microseconds since 1970 UTC, int64 [days]. Days differ in length where clocks
            change.
    """

    window: Window
    names: tuple[str, ...]
    begins: npt.NDArray[np.int64]

    @classmethod
    def of(cls, window: Window, timezone: str) -> Self:
        """The days of a window that begins and ends where a local day does.

        Raises:
            LooplineError: it begins or ends in the middle of one.
        """
        zone = ZoneInfo(timezone)
        for moment in (window.start, window.end):
            if moment.astimezone(zone).date() == (moment - _TICK).astimezone(zone).date():
                raise LooplineError(
                    f"the window from {window} does not consist of whole days in {timezone}: predictions are published "
                    "day by day, so give dates without a time"
                )
        first, last = window.start.astimezone(zone).date(), (window.end - _TICK).astimezone(zone).date()
        days = [first + timedelta(days=day) for day in range((last - first).days + 1)]
        begins = np.array([_microseconds(parse_time(day, zone)) for day in days], dtype=np.int64)
        return cls(window, tuple(day.isoformat() for day in days), begins)

    def index(self, moments: pa.Array) -> npt.NDArray[np.intp]:
        """The position of each moment's day in ``names``.

        Raises:
            LooplineError: a moment is missing or lies outside the window.
        """
        ticks = pc.fill_null(moments.cast(TIMESTAMP, safe=False).cast(pa.int64()), -(2**63)).to_numpy()
        outside = (ticks < _microseconds(self.window.start)) | (ticks >= _microseconds(self.window.end))
        if outside.any():
            moment = moments[int(np.argmax(outside))].as_py()
            raise LooplineError(
                f"the predictions have a row at {moment}, which is not in the window from {self.window}"
            )
        index: npt.NDArray[np.intp] = np.searchsorted(self.begins, ticks, side="right") - 1
        return index


def write_by_day(file: Path, timestamp: str, days: LocalDays, folder: Path, partition: str) -> dict[str, int]:
    """Write ``<partition>=<day>/part-0.parquet`` for each day that has rows, with the rows in order.

    Args:
        file: Parquet with the rows, read batch by batch.
        timestamp: the column that says which day a row belongs to.
        days: the days of the window.
        folder: where to write.
        partition: name of the partition key.

    Returns:
        The number of rows by day, in order.

    Raises:
        LooplineError: a row lies outside the window.
    """
    rows = dict.fromkeys(days.names, 0)
    with ExitStack() as stack:
        source = stack.enter_context(pq.ParquetFile(file, pre_buffer=False))
        schema = source.schema_arrow.remove_metadata()
        writers: dict[str, pq.ParquetWriter] = {}
        for batch in source.iter_batches(ROW_GROUP):
            index = days.index(batch.column(timestamp))
            for position in np.unique(index):
                day = days.names[position]
                if day not in writers:
                    target = folder / f"{partition}={day}" / FILE
                    target.parent.mkdir()
                    writers[day] = stack.enter_context(pq.ParquetWriter(target, schema, compression="zstd"))
                rows_of_day = batch.filter(pa.array(index == position))
                writers[day].write_batch(rows_of_day.replace_schema_metadata(None))
                rows[day] += len(rows_of_day)
    return {day: count for day, count in rows.items() if count}


def _microseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // _TICK

"""Summary statistics of a table, column by column."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.tables import Table
from loopline.components.contract.window import iso

BINS = 16
TOP_VALUES = 8
_LAST_SECOND = datetime.max.replace(
    microsecond=0, tzinfo=UTC
).timestamp()  # as a double, 9999-12-31T23:59:59.999999 is past it


def profile_table(table: pa.Table, spec: Table) -> dict[str, dict[str, Any]]:
    """Describe each column, as JSON values.

    Returns:
        By column: ``type`` (as declared), ``missing`` (share), ``distinct``, ``min``, ``mean`` and ``max`` (None where
        they mean nothing; timestamps as ISO text), and ``histogram``: pairs of label and rows, over at most ``BINS``
        equal steps labelled with where they begin, or of the ``TOP_VALUES`` most frequent values and ``other``.
    """
    return {name: _profile_column(table.column(name), column.type) for name, column in spec.columns.items()}


def _profile_column(values: pa.ChunkedArray, kind: str) -> dict[str, Any]:
    present = values.drop_null()
    described = {
        "type": kind,
        "missing": values.null_count / len(values) if len(values) else 0.0,
        "distinct": pc.count_distinct(present).as_py(),
        "min": None,
        "mean": None,
        "max": None,
        "histogram": [],
    }
    if len(present) == 0:
        return described
    if kind in {"string", "boolean"}:
        return described | {"histogram": _top_values(present)}
    if kind == "timestamp":
        low, high = pc.min_max(present).as_py().values()
        return described | {"min": iso(low), "max": iso(high), "histogram": _steps(present.cast(pa.int64()), _moment)}
    low, high = pc.min_max(present).as_py().values()
    mean = pc.mean(present.cast(pa.float64(), safe=False)).as_py()
    return described | {"min": low, "mean": mean, "max": high, "histogram": _steps(present, "{:.6g}".format)}


def _steps(present: pa.ChunkedArray, label: Callable[[float], str]) -> list[tuple[str, int]]:
    """Rows per equal step between the least and the greatest value."""
    # Halves, so that not even the widest range of doubles overflows.
    halves = present.to_numpy().astype(np.float64) / 2
    low, high = halves.min(), halves.max()
    if pa.types.is_integer(present.type) and high - low < BINS / 2:  # a step for each number
        bins, width = int(2 * (high - low)) + 1, 0.5
    elif high > low:
        bins, width = BINS, (high - low) / BINS or 1.0  # a difference of denormals may vanish
    else:
        bins, width = 1, 1.0
    counts = np.bincount(np.clip((halves - low) // width, 0, bins - 1).astype(np.int64), minlength=bins)
    return [(label(2 * (low + step * width)), int(count)) for step, count in enumerate(counts)]


def _moment(microseconds: float) -> str:
    return iso(datetime.fromtimestamp(min(microseconds // 1e6, _LAST_SECOND), UTC))


def _top_values(present: pa.ChunkedArray) -> list[tuple[str, int]]:
    counted = [(str(item["values"]), item["counts"]) for item in pc.value_counts(present.cast(pa.string())).to_pylist()]
    counted.sort(key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in counted[TOP_VALUES:])
    return counted[:TOP_VALUES] + ([("other", rest)] if rest else [])

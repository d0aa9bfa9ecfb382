"""Expectations of a batch as a whole: its share of bad rows, its freshness and its volume."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.tables import Table
from loopline.components.contract.window import Window, iso


def broken_expectations(
    name: str, spec: Table, kept: pa.Table, quarantined: int, reasons: dict[str, int], window: Window
) -> list[str]:
    """The expectations that a batch of a table does not meet, each with its number and its limit.

    Args:
        name: its name.
        spec: its section of usecase.yaml.
        kept: the rows that passed.
        quarantined: how many did not.
        reasons: rows by reason, the most frequent first.
        window: the window, without lookback.
    """
    broken = [_bad_share(name, spec, kept.num_rows, quarantined, reasons)]
    if spec.timestamp:
        moments = kept.column(spec.timestamp)
        broken += [_freshness(name, spec, moments, window), _volume(name, spec, moments, window)]
    return [sentence for sentence in broken if sentence]


def _bad_share(name: str, spec: Table, kept: int, quarantined: int, reasons: dict[str, int]) -> str | None:
    share = quarantined / max(kept + quarantined, 1)
    if share <= spec.bad_rows_allowed:
        return None
    worst = ", ".join(f"{reason} ({rows:,} rows)" for reason, rows in list(reasons.items())[:3])
    return (
        f"table {name} has {quarantined:,} bad rows in {kept + quarantined:,} ({share:.2%}) where bad_rows_allowed is "
        f"{spec.bad_rows_allowed:.2%}: {worst}"
    )


def _freshness(name: str, spec: Table, moments: pa.ChunkedArray, window: Window) -> str | None:
    if spec.freshness is None:
        return None
    newest: Any = pc.max(moments).as_py()
    if newest is None:
        return f"table {name} has no good row, but freshness requires one within {_hours(spec.freshness)}"
    age = window.end - newest
    if age <= spec.freshness:
        return None
    return (
        f"table {name} is stale: its newest row is of {iso(newest)}, {_hours(age)} before the end of the window, "
        f"where freshness is {_hours(spec.freshness)}"
    )


def _volume(name: str, spec: Table, moments: pa.ChunkedArray, window: Window) -> str | None:
    if spec.volume is None:
        return None
    inside: int = pc.sum(pc.greater_equal(moments, window.start)).as_py() or 0
    per_day = inside / window.days
    low, high = spec.volume.rows_per_day
    if low <= per_day <= high:
        return None
    return f"table {name} has {per_day:,.1f} rows per day in the window where volume is {low:,g} to {high:,g}"


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):,.1f} h"

"""Tables of validated data, ready for ``data_tables.html.j2``: its columns, and quarantined rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from loopline.components.contract.tables import QUARANTINE_REASON
from loopline.components.pages import charts
from loopline.components.pages.formatting import cell, count, counted, share


@dataclass(frozen=True)
class ColumnRow:
    """What a column holds, as text, with a histogram as small as a word."""

    name: str
    type: str
    missing: str
    distinct: str
    low: str
    mean: str
    high: str
    histogram: Markup


@dataclass(frozen=True)
class Sample:
    """A few quarantined rows as text, the reason first."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def column_rows(profile: Mapping[str, Mapping[str, Any]], hints: bool = False) -> list[ColumnRow]:
    """A row for each column of a table's profile.

    Args:
        profile: by column ``type``, ``missing``, ``distinct``, ``min``, ``mean``, ``max`` and ``histogram``, as the
            manifest of validated data holds them.
        hints: whether hovering over a bar of a histogram says what it counts.
    """
    return [_row(name, facts, hints) for name, facts in profile.items()]


def sample(rows: pa.Table | pa.RecordBatch) -> Sample:
    """Quarantined rows as they came."""
    columns = [QUARANTINE_REASON, *(column for column in rows.schema.names if column != QUARANTINE_REASON)]
    return Sample(columns, [["" if row[c] is None else str(row[c]) for c in columns] for row in rows.to_pylist()])


def _row(name: str, facts: Mapping[str, Any], hints: bool) -> ColumnRow:
    histogram = facts.get("histogram") or []
    names = [f"{label}: {counted(rows, 'row')}" for label, rows in histogram] if hints else []
    heights = [rows for _, rows in histogram]
    return ColumnRow(
        name=name,
        type=facts["type"],
        missing=share(facts["missing"]),
        distinct=count(facts["distinct"]),
        low=cell(facts["min"]),
        mean=cell(facts["mean"]),
        high=cell(facts["max"]),
        histogram=charts.bars(heights, f"distribution of {name}", names) if histogram else Markup(""),
    )

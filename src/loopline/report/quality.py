"""Validated data made ready to be seen: what was kept, what was set aside and why, and what the columns look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.spec import QUARANTINE_REASON, UseCaseSpec
from loopline.report import plots, words
from loopline.report.evidence import Evidence, Found

SAMPLE_ROWS = 5


@dataclass(frozen=True)
class Sample:
    """A few of the rows that were set aside, as text, the reason first."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ColumnProfile:
    """What a column holds, in words, with a histogram as small as a word."""

    name: str
    type: str
    missing: str
    distinct: str
    least: str
    mean: str
    greatest: str
    histogram: Markup


@dataclass(frozen=True)
class CheckedTable:
    """One table: rows that were kept and set aside, the latter by reason, and what the columns of the former hold."""

    name: str
    kept: int
    refused: int
    reasons: Mapping[str, int]
    sample: Sample | None
    columns: Sequence[ColumnProfile]


@dataclass(frozen=True)
class CheckedData:
    """What validation found in the data of one window, and the places in runs where it was used."""

    places: Sequence[str]
    window: str
    tables: Sequence[CheckedTable]


def checked_data(evidence: Evidence, spec: UseCaseSpec) -> list[CheckedData]:
    """A part for each dataset that was validated, by window; one that several runs used comes once."""
    by_digest: dict[str, list[Found[Dataset]]] = {}
    for found in sorted(evidence.data, key=lambda found: tuple(found.content.facts["window"])):
        by_digest.setdefault(found.content.digest, []).append(found)
    return [_checked(same, evidence, spec) for same in by_digest.values()]


def _checked(same: Sequence[Found[Dataset]], evidence: Evidence, spec: UseCaseSpec) -> CheckedData:
    data = same[0].content
    refused = next((q.content for q in evidence.quarantine if q.step is same[0].step), None)
    return CheckedData(
        places=[
            found.group if found.group == found.run.pipeline else f"{found.run.pipeline} / {found.group}"
            for found in same
        ],
        window=words.window(data.facts["window"], spec.timezone),
        tables=[_table(name, data, refused) for name in data.tables],
    )


def _table(name: str, data: Dataset, refused: Dataset | None) -> CheckedTable:
    reasons = data.facts.get("reasons", {}).get(name, {})
    profile = data.facts.get("profile", {}).get(name, {})
    return CheckedTable(
        name=name,
        kept=data.rows(name),
        refused=data.facts.get("rows_quarantined", {}).get(name, 0),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        sample=_sample(refused, name) if refused else None,
        columns=[_column(column, facts) for column, facts in profile.get("columns", {}).items()],
    )


def _sample(refused: Dataset, name: str) -> Sample | None:
    """The first rows of the quarantine, read without the rest of the file."""
    if not refused.tables.get(name, {}).get("rows") or not refused.file(name).is_file():
        return None
    batch = next(pq.ParquetFile(refused.file(name)).iter_batches(batch_size=SAMPLE_ROWS))
    columns = [QUARANTINE_REASON, *(column for column in batch.schema.names if column != QUARANTINE_REASON)]
    return Sample(columns, [["" if row[c] is None else str(row[c]) for c in columns] for row in batch.to_pylist()])


def _column(name: str, facts: Mapping[str, Any]) -> ColumnProfile:
    histogram = facts.get("histogram") or []
    return ColumnProfile(
        name=name,
        type=facts["type"],
        missing=words.share(facts["missing"]) if facts["missing"] else "",
        distinct=words.count(facts["distinct"]),
        least=_value(facts["min"]),
        mean=_value(facts["mean"]),
        greatest=_value(facts["max"]),
        histogram=plots.bars([rows for _, rows in histogram], f"distribution of {name}") if histogram else Markup(""),
    )


def _value(value: Any) -> str:
    """A number with four digits that count, or a moment to the minute."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("T", " ").removesuffix(":00")
    return words.count(value) if abs(value) >= 10_000 else f"{value:.4g}".replace("-", "−")

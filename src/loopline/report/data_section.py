"""The section on data: rows kept, rows quarantined and why, and what the columns hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.pages.data_tables import ColumnRow, Sample, column_rows, sample
from loopline.components.pages.formatting import window
from loopline.report.artifacts import LoopArtifacts, StepArtifact

SAMPLE_ROWS = 5


@dataclass(frozen=True)
class ValidatedTable:
    """One table: rows kept and quarantined, the latter by reason, and what the columns of the former hold."""

    name: str
    kept: int
    quarantined: int
    reasons: Mapping[str, int]
    sample: Sample | None
    columns: Sequence[ColumnRow]


@dataclass(frozen=True)
class ValidatedData:
    """What validation found in the data of one window, and the pipelines that used it."""

    used_by: Sequence[str]
    window: str
    tables: Sequence[ValidatedTable]


def validated_data(artifacts: LoopArtifacts, spec: UseCaseSpec) -> list[ValidatedData]:
    """Each validated dataset, by window; one that several runs used comes once."""
    by_digest: dict[str, list[StepArtifact[Dataset]]] = {}
    for found in sorted(artifacts.data, key=lambda found: tuple(found.content.facts["window"])):
        by_digest.setdefault(found.content.digest, []).append(found)
    return [_validated(same, artifacts, spec) for same in by_digest.values()]


def _validated(same: Sequence[StepArtifact[Dataset]], artifacts: LoopArtifacts, spec: UseCaseSpec) -> ValidatedData:
    data = same[0].content
    quarantine = next((q.content for q in artifacts.quarantine if q.step is same[0].step), None)
    return ValidatedData(
        used_by=[
            found.group if found.group == found.run.pipeline else f"{found.run.pipeline} / {found.group}"
            for found in same
        ],
        window=window(data.facts["window"], spec.timezone),
        tables=[_table(name, data, quarantine) for name in data.tables],
    )


def _table(name: str, data: Dataset, quarantine: Dataset | None) -> ValidatedTable:
    reasons = data.facts.get("reasons", {}).get(name, {})
    profile = data.facts.get("profile", {}).get(name, {})
    return ValidatedTable(
        name=name,
        kept=data.rows(name),
        quarantined=data.facts.get("rows_quarantined", {}).get(name, 0),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        sample=_first_rows(quarantine, name) if quarantine else None,
        columns=column_rows(profile.get("columns", {})),
    )


def _first_rows(quarantine: Dataset, name: str) -> Sample | None:
    """The first rows of the quarantine, read without the rest of the file."""
    if not quarantine.tables.get(name, {}).get("rows") or not quarantine.file(name).is_file():
        return None
    return sample(next(pq.ParquetFile(quarantine.file(name)).iter_batches(batch_size=SAMPLE_ROWS)))

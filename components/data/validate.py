"""Data validation: keeps the rows that match usecase.yaml, quarantines the others, rejects a batch that is too bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.tables import QUARANTINE_REASON, Table
from loopline.components.contract.usecase import load
from loopline.components.contract.window import Window, parse_time
from loopline.components.data.checks import Failures, any_failure, check_rows
from loopline.components.data.expectations import broken_expectations
from loopline.components.data.page import render_page
from loopline.components.data.profile import profile_table
from loopline.components.errors import LooplineError
from loopline.components.io import atomic


@dataclass(frozen=True)
class Validated:
    """The good rows and the bad ones."""

    data: Dataset
    quarantine: Dataset

    def metrics(self) -> dict[str, float]:
        """By table ``<table>_rows``, the good ones, and ``<table>_quarantined_share``."""
        values: dict[str, float] = {}
        for name in self.data.tables:
            kept, bad = self.data.rows(name), self.quarantine.rows(name)
            values[f"{name}_rows"] = kept
            values[f"{name}_quarantined_share"] = bad / max(kept + bad, 1)
        return values


@dataclass(frozen=True)
class _Separated:
    """The good and the bad rows of a table, the bad ones as they came, with their reasons."""

    kept: pa.Table
    bad: pa.Table
    reasons: dict[str, int]

    def counts(self) -> dict[str, int]:
        kept, bad = self.kept.num_rows, self.bad.num_rows
        return {"rows_in": kept + bad, "rows_out": kept, "rows_quarantined": bad}


def validate_data(
    usecase: str, raw_path: Path | str, data_path: Path | str, quarantine_path: Path | str, profile_path: Path | str
) -> Validated:
    """Separate good rows from bad ones, and check the batch against its expectations.

    Good rows keep their order and have their declared types. Bad rows keep their original columns and get a column
    ``reason``: every reason, joined by ``; ``. No row is lost: per table, rows in = rows out + quarantined. Quarantine
    and profile are written before the batch is checked, so that they can be read when it is rejected.

    Args:
        usecase: package of the use case.
        raw_path: what `ingest` wrote.
        data_path: the folder for the good rows. Facts: those of raw, then by table ``rows_in``, ``rows_out``,
            ``rows_quarantined`` and ``reasons`` (rows by reason), ``raw`` (digest) and ``profile``.
        quarantine_path: the folder for the bad rows, in tables of the same names. Facts: the same without profile.
        profile_path: the HTML page to write.

    Raises:
        LooplineError: the batch is rejected: too many bad rows, too old, or too small or large.
    """
    spec = load(usecase).spec
    raw = Dataset.open(raw_path)
    window = Window.parse(*raw.facts["window"])
    reach = Window(parse_time(raw.facts["lookback_start"]), window.end)
    tables = {name: _separate(raw.read(name), table, reach) for name, table in spec.tables.items()}
    facts = _facts(raw, tables)

    bad = {name: table.bad for name, table in tables.items()}
    quarantine = dataset.write(quarantine_path, bad, {**facts, "rows": facts["rows_quarantined"]})
    broken = [
        sentence
        for name, table in tables.items()
        for sentence in broken_expectations(
            name, spec.tables[name], table.kept, table.bad.num_rows, table.reasons, window
        )
    ]
    profile = {
        name: {**table.counts(), "columns": profile_table(table.kept, spec.tables[name])}
        for name, table in tables.items()
    }
    page = render_page(f"Data of {usecase}, {window} (UTC)", profile, facts["reasons"], bad, broken)
    atomic.write_text(Path(profile_path), page)
    if broken:
        raise LooplineError(
            f"the data of {usecase} from {window} (UTC) is rejected: {'; '.join(broken)}; fix the source, or relax "
            f"usecase.yaml if it is right (bad rows with reasons: {quarantine.path}, as a page: {profile_path})"
        )
    data = dataset.write(
        data_path,
        {name: table.kept for name, table in tables.items()},
        {**facts, "rows": facts["rows_out"], "profile": profile},
    )
    _assert_nothing_lost(raw, data, quarantine)
    return Validated(data, quarantine)


def _separate(raw: pa.Table, spec: Table, reach: Window) -> _Separated:
    table, failures = check_rows(raw, spec, reach)
    reasons = {reason: len(rows) for reason, rows in failures.items()}
    by_frequency = dict(sorted(reasons.items(), key=lambda item: -item[1]))
    bad = any_failure(failures, raw.num_rows)
    kept = table.filter(pa.array(~bad)) if failures else table
    texts = _joined_reasons(failures, raw.num_rows)[bad]
    return _Separated(
        kept, raw.filter(pa.array(bad)).append_column(QUARANTINE_REASON, pa.array(texts, pa.string())), by_frequency
    )


def _joined_reasons(failures: Failures, rows: int) -> npt.NDArray[np.object_]:
    """All reasons of each row in one text, empty for a good row."""
    texts = np.full(rows, "", dtype=object)
    for reason, positions in failures.items():
        texts[positions] += np.where(texts[positions] == "", reason, f"; {reason}").astype(object)
    return texts


def _facts(raw: Dataset, tables: Mapping[str, _Separated]) -> dict[str, Any]:
    counts = {name: table.counts() for name, table in tables.items()}
    return {
        **raw.facts,
        "raw": raw.digest,
        **{
            key: {name: count[key] for name, count in counts.items()}
            for key in ("rows_in", "rows_out", "rows_quarantined")
        },
        "reasons": {name: table.reasons for name, table in tables.items()},
    }


def _assert_nothing_lost(raw: Dataset, data: Dataset, quarantine: Dataset) -> None:
    for name in raw.tables:
        if raw.rows(name) != data.rows(name) + quarantine.rows(name):
            raise AssertionError(f"{raw.rows(name)} rows of {name} came in, but not as many went out")

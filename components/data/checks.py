"""Checks of single rows against usecase.yaml, by pandera, and of the uniqueness of the key."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa

from loopline.components.contract.tables import Column, Table
from loopline.components.contract.window import Window, iso
from loopline.components.data.coerce import ARROW_TYPES, coerce

# Positions of the failing rows by reason, in the order of the columns in usecase.yaml.
Failures = Mapping[str, npt.NDArray[np.int64]]


class Checked(NamedTuple):
    """A table in its declared types, and the rows that fail a check."""

    table: pa.Table
    failures: Failures


def check_rows(raw: pa.Table, spec: Table, reach: Window) -> Checked:
    """Find the rows that violate the schema of their table, each with every reason.

    Each row is checked for type, nullability, range, allowed values and the time range of the window and its lookback.
    Of the rows that pass, the first with a key keeps it; later ones are duplicates.

    Args:
        raw: the table as ingested: a column with values that cannot be read as the declared type is text.
        spec: its section of usecase.yaml.
        reach: the window with its lookback.
    """
    coerced = {name: coerce(raw.column(name), column.type) for name, column in spec.columns.items()}
    table = pa.table({name: column.column for name, column in coerced.items()})
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    broken = _pandera_failures(frame, row_schema(spec, reach))
    failures: dict[str, npt.NDArray[np.int64]] = {}
    for name, column in spec.columns.items():
        unread = coerced[name].failed
        if unread.size:
            failures[f"{name} cannot be read as {column.type}"] = unread
        for reason, rows in broken.get(name, {}).items():
            # A value that could not be read is null in the table, but it was not missing in the source.
            left = np.setdiff1d(rows, unread, assume_unique=True) if reason == _missing(name) else rows
            if left.size:
                failures[reason] = left
    duplicates = _duplicates(frame, spec.key, failures)
    if duplicates.size:
        failures[f"duplicate: an earlier row has the same {', '.join(spec.key)}"] = duplicates
    return Checked(table, failures)


def any_failure(failures: Failures, rows: int) -> npt.NDArray[np.bool_]:
    """Which of ``rows`` rows have at least one reason, bool [rows]."""
    broken = np.zeros(rows, dtype=bool)
    for positions in failures.values():
        broken[positions] = True
    return broken


def row_schema(spec: Table, reach: Window) -> pa_schema.DataFrameSchema:
    """The pandera schema of a table's rows; the error text of a check is the reason in the quarantine."""
    columns = {}
    for name, column in spec.columns.items():
        checks = _value_checks(name, column)
        if name == spec.timestamp:
            future = f"in the future: {name} is not before {iso(reach.end)}, the end of the window"
            past = f"before the window: {name} is before {iso(reach.start)}, where window and lookback begin"
            checks += [pa_schema.Check.lt(reach.end, error=future), pa_schema.Check.ge(reach.start, error=past)]
        dtype = pd.ArrowDtype(ARROW_TYPES[column.type])
        columns[name] = pa_schema.Column(dtype, checks, nullable=column.nullable)
    return pa_schema.DataFrameSchema(columns, strict=True)


def _value_checks(name: str, column: Column) -> list[pa_schema.Check]:
    checks = []
    if column.type == "float":
        largest = float(np.finfo(np.float64).max)
        checks.append(pa_schema.Check.in_range(-largest, largest, error=f"{name} is infinite"))
    if column.min is not None:
        checks.append(pa_schema.Check.ge(column.min, error=f"{name} is below {column.min:g}"))
    if column.max is not None:
        checks.append(pa_schema.Check.le(column.max, error=f"{name} is above {column.max:g}"))
    if column.allowed is not None:
        allowed = coerce(pa.chunked_array([pa.array(column.allowed, pa.string())]), column.type).column.to_pylist()
        checks.append(pa_schema.Check.isin(allowed, error=f"{name} is not one of {', '.join(column.allowed)}"))
    return checks


def _pandera_failures(
    frame: pd.DataFrame, schema: pa_schema.DataFrameSchema
) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """Positions of the rows that break each check: column -> reason -> positions."""
    try:
        schema.validate(frame, lazy=True, inplace=True)
    except pa_schema.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return {}
    found: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    for (name, check), rows in cases.groupby(["column", "check"], sort=False)["index"]:
        reason = _missing(name) if check == "not_nullable" else check
        found.setdefault(name, {})[reason] = np.sort(rows.to_numpy(dtype=np.int64))
    return found


def _missing(column: str) -> str:
    return f"{column} is missing"


def _duplicates(frame: pd.DataFrame, key: tuple[str, ...], failures: Failures) -> npt.NDArray[np.int64]:
    if not key:
        return np.empty(0, dtype=np.int64)
    passing = np.flatnonzero(~any_failure(failures, len(frame)))
    keys = frame[list(key)] if passing.size == len(frame) else frame[list(key)].iloc[passing]
    duplicated: npt.NDArray[np.bool_] = keys.duplicated(keep="first").to_numpy(dtype=bool)
    return passing[duplicated]

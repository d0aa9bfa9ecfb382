"""Loading a window of a use case's source, in the types that usecase.yaml declares."""

import difflib
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract import dataset
from loopline.components.contract.tables import Table
from loopline.components.contract.usecase import UseCase, load
from loopline.components.contract.window import Window, iso
from loopline.components.data.coerce import coerce
from loopline.components.errors import LooplineError


def ingest(usecase: str, start: str, end: str, path: Path | str) -> dataset.Dataset:
    """Write the raw tables of a window, and of the lookback before it, as a dataset.

    Every column gets its declared Arrow type if no value is lost by that. A column with a value that cannot be read
    stays text, so that validation quarantines its rows. Rows keep the order of the source.

    Args:
        usecase: package of the use case.
        start: first moment of the window, ISO; without a zone it is in the use case's timezone.
        end: end of the window, excluded.
        path: the folder to make.

    Returns:
        The dataset. Its facts: ``usecase``, ``window`` [start, end], ``lookback_start``, ``rows`` by table, and
        ``source`` (fingerprint of the source's data, or None).

    Raises:
        LooplineError: the source fails, its tables are not those of usecase.yaml, or the window has no rows.
    """
    case = load(usecase)
    window = case.spec.window(start, end)
    reach = window.extended(case.spec.features.lookback)
    with _source_errors(case):
        fingerprint = case.source_fingerprint()
        given = _source_tables(case, reach)
    _expect_names("source.py", "a table", list(given), list(case.spec.tables))
    tables = {name: _conform(name, given[name], spec) for name, spec in case.spec.tables.items()}
    entity = case.spec.entity
    _expect_rows(entity.table, tables[entity.table].column(entity.timestamp), window)
    facts = {
        "usecase": usecase,
        "window": [iso(window.start), iso(window.end)],
        "lookback_start": iso(reach.start),
        "rows": {name: table.num_rows for name, table in tables.items()},
        "source": fingerprint,
    }
    return dataset.write(path, tables, facts)


@contextmanager
def _source_errors(case: UseCase) -> Iterator[None]:
    """Turn whatever the user's source raises into one sentence with file and line."""
    try:
        yield
    except LooplineError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if Path(frame.filename).name == "source.py"), None)
        where = f"{case.folder / 'source.py'}{f' line {line}' if line else ''}"
        first_line = next(iter(str(error).strip().splitlines()), "no message")
        raise LooplineError(
            f"the source of {case.package} failed at {where}: {type(error).__name__}: {first_line}"
        ) from error


def _source_tables(case: UseCase, reach: Window) -> dict[str, pa.Table]:
    read = getattr(case.source, "tables", None)
    if not callable(read):
        raise LooplineError(
            f"{case.folder / 'source.py'} has no function tables(start, end); it has to return the raw tables"
        )
    given = read(reach.start, reach.end)
    if not isinstance(given, Mapping):
        raise LooplineError(
            f"tables(start, end) in {case.folder / 'source.py'} returns a {type(given).__name__}; "
            "it has to return a dict of tables by name"
        )
    return {str(name): _as_arrow(str(name), table) for name, table in given.items()}


def _as_arrow(name: str, table: Any) -> pa.Table:
    if isinstance(table, pd.DataFrame):
        columns = [str(column) for column in table.columns]
        return pa.Table.from_arrays([_array(table.iloc[:, i]) for i in range(len(columns))], names=columns)
    if hasattr(table, "__arrow_c_stream__"):
        return pa.table(table)
    raise LooplineError(
        f"source.py returns table {name} as a {type(table).__name__}; "
        "it has to be a pyarrow.Table or a pandas.DataFrame"
    )


def _array(series: "pd.Series[Any]") -> pa.Array:
    """A pandas column as Arrow; one that mixes types, as text."""
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        array = pa.array(series.map(str, na_action="ignore"), pa.string(), from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _expect_names(where: str, kind: str, given: list[str], listed: list[str]) -> None:
    """Check that every listed table or column is there once, and no other."""
    for name in given:
        if given.count(name) > 1:
            raise LooplineError(f"{where} has {kind} {name} twice; give each one once in source.py")
        if name not in listed:
            close = difflib.get_close_matches(name, [other for other in listed if other not in given], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise LooplineError(
                f"{where} has {kind} {name} that usecase.yaml does not list{hint}; list it or leave it out in source.py"
            )
    lacking = [name for name in listed if name not in given]
    if lacking:
        raise LooplineError(
            f"{where} lacks {kind} that usecase.yaml lists: {', '.join(lacking)}; "
            "give it in source.py or take it off the list"
        )


def _conform(name: str, table: pa.Table, spec: Table) -> pa.Table:
    """The columns of usecase.yaml in its order, each of its declared type or, if that loses a value, as text."""
    _expect_names(f"table {name}", "a column", table.column_names, list(spec.columns))
    columns = {}
    for column, declared in spec.columns.items():
        raw = table.column(column)
        try:
            coerced = coerce(raw, declared.type)
            columns[column] = raw.cast(pa.string()) if coerced.failed.size else coerced.column
        except pa.ArrowException as error:
            raise LooplineError(
                f"table {name}: column {column} of Arrow type {raw.type} cannot be read as {declared.type}, "
                "as usecase.yaml declares it; convert it in source.py"
            ) from error
    return pa.table(columns)


def _expect_rows(table: str, timestamps: pa.ChunkedArray, window: Window) -> None:
    moments = coerce(timestamps, "timestamp")
    inside = pc.and_(pc.greater_equal(moments.column, window.start), pc.less(moments.column, window.end))
    if not moments.failed.size and not pc.any(inside).as_py():
        raise LooplineError(
            f"table {table} has no row in the window from {window} (UTC); ask for a window that source.py has data for"
        )

"""Building the history of the stored feature views: the SQL of features.py over the validated tables."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import TIMESTAMP
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.features.connection import connect, first_line, name, text
from loopline.components.features.definitions import stored_views, view_versions
from loopline.components.features.stored_view import StoredView

WORKERS = 4


def build_features(usecase: str, data_path: Path | str, history_path: Path | str) -> Dataset:
    """Compute the history of every stored feature view.

    One table per view: join keys, event timestamp, created timestamp if the view has one, features; by event timestamp,
    then by all columns. Rows without a join key or an event timestamp can never be joined: they are left out, and
    counted. Views are computed in parallel, each in one thread, so the bytes do not depend on timing.

    Args:
        usecase: package of the use case.
        data_path: the validated dataset.
        history_path: the folder to make.

    Returns:
        The history. Its facts: ``window``, ``data`` (digest of the tables that it was computed from),
        ``feature_views`` (version of each), ``rows`` and ``unfindable`` rows by view.

    Raises:
        LooplineError: the feature views and their SQL do not fit together, the SQL fails, does not return what the view
            declares, or returns two different values for one key and timestamp.
    """
    views = stored_views(load(usecase))
    data = Dataset.open(data_path)
    with connect(threads=1) as connection:
        for table in data.tables:
            connection.execute(f"create view {name(table)} as from read_parquet({text(data.file(table))})")
        with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as workers:
            unfindable = list(workers.map(lambda view: _compute(connection.cursor(), view), views))
        names = [view.name for view in views]
        facts = {
            "window": data.facts.get("window"),
            "data": data.digest,
            "feature_views": view_versions(views),
            "unfindable": dict(zip(names, unfindable, strict=True)),
        }
        return dataset.write(history_path, {view.name: _batches(connection.cursor(), view) for view in views}, facts)


def _compute(connection: duckdb.DuckDBPyConnection, view: StoredView) -> int:
    """Fill the table of a view; return how many of its rows can never be joined."""
    query = f"({view.sql.strip().rstrip(';')}\n)"
    try:
        given = connection.sql(f"from {query}").columns
        for column in view.columns:
            if column not in given:
                raise LooplineError(
                    f"the SQL of feature view '{view.name}' returns no column '{column}'; it returns {', '.join(given)}"
                )
        columns = [
            f"{name(column)}::timestamptz as {name(column)}" if kind == TIMESTAMP else name(column)
            for column, kind in view.columns.items()
        ]
        connection.execute(f"create table {_table(view)} as select {', '.join(columns)} from {query}")
        _check_unambiguous(connection, view)
        (count,) = connection.execute(
            f"select count(*) from {_table(view)} where not ({_findable(view)})"
        ).fetchone() or (0,)
    except duckdb.Error as error:
        raise LooplineError(f"the SQL of feature view '{view.name}' fails: {first_line(error)}") from error
    return int(count)


def _check_unambiguous(connection: duckdb.DuckDBPyConnection, view: StoredView) -> None:
    listed = ", ".join(name(column) for column in view.identity)
    doubled = connection.execute(
        f"select {listed} from (select distinct * from {_table(view)} where {_findable(view)})"
        f" group by {listed} having count(*) > 1 order by all limit 1"
    ).fetchone()
    if doubled:
        where = ", ".join(f"{column} = {value}" for column, value in zip(view.identity, doubled, strict=True))
        raise LooplineError(
            f"the SQL of feature view '{view.name}' returns different values for the same timestamp, {where}; "
            "make them one row, or give the view's source a created_timestamp_column that says which is newer"
        )


def _batches(connection: duckdb.DuckDBPyConnection, view: StoredView) -> Iterator[pa.RecordBatch]:
    """The rows of a view in order, in the types that it declares; at least one batch."""
    order = ", ".join(name(column) for column in [view.timestamp, *view.columns])
    relation = connection.sql(f"from {_table(view)} where {_findable(view)} order by {order}")
    reader = relation.to_arrow_reader(dataset.ROW_GROUP)
    some = False
    for batch in reader:
        some = True
        yield _typed(batch, view)
    if not some:
        yield _typed(pa.RecordBatch.from_pylist([], schema=reader.schema), view)


def _typed(batch: pa.RecordBatch, view: StoredView) -> pa.RecordBatch:
    columns = {}
    for column, kind in view.columns.items():
        values = batch.column(column)
        try:
            columns[column] = values if kind is None else values.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise LooplineError(
                f"the SQL of feature view '{view.name}' returns '{column}' as {values.type}, not as the {kind} "
                f"that the view declares: {first_line(error)}"
            ) from error
    return pa.RecordBatch.from_pydict(columns)


def _findable(view: StoredView) -> str:
    return " and ".join(f"{name(column)} is not null" for column in view.identity if column != view.created)


def _table(view: StoredView) -> str:
    return name(f"history of {view.name}")

"""DuckDB as this stage uses it: in memory, in UTC, allowed to spill to disk, and closed when the block ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb


@contextmanager
def connect(threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to an empty database.

    Args:
        threads: threads that one query may use; by default as many as the machine or the container allows. With one,
            a query is deterministic to the last bit of a floating-point sum.
    """
    with TemporaryDirectory(prefix="loopline-spill-") as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {"temp_directory": spill}
        if threads is not None:
            settings["threads"] = threads
        with duckdb.connect(config=settings) as connection:
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            yield connection


def name(identifier: str) -> str:
    """An identifier, quoted for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: object) -> str:
    """A value as a quoted SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """The message of DuckDB, without the excerpt of the query that follows it."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

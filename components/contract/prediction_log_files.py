"""The files of a prediction log: ``date=2013-07-01/<writer>-<number>.parquet``, on this machine or in an object store.

Each file appears whole and never changes, so the log is append-only.
"""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loopline.components.contract import prediction_log
from loopline.components.contract.examples import TIMESTAMP, identity_columns
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io import storage

REQUEST = "request_id"
ROW = "row"  # of the request
DIGEST = "features_digest"  # of all features as the model got them; null if it was not called
_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}


def schema(spec: UseCaseSpec) -> pa.Schema:
    """The columns that serving writes: those of every log, those of the request, and the entity's keys.

    Raises:
        LooplineError: an entity key has the name of another column.
    """
    columns = spec.tables[spec.entity.table].columns
    own = [field for field in prediction_log.SCHEMA if field.name != prediction_log.LABEL]
    own += [pa.field(REQUEST, pa.string()), pa.field(ROW, pa.int32()), pa.field(DIGEST, pa.string())]
    names = identity_columns(spec)
    for name in names:
        if name in {*(field.name for field in own), prediction_log.LABEL}:
            raise LooplineError(
                f"usecase.yaml: entity key '{name}' has the name of a column of every prediction log; rename it"
            )
    return pa.schema([*own, *(pa.field(name, _TYPES[columns[name].type]) for name in names)])


def file_of(uri: str, day: date, writer: str, number: int) -> str:
    """The URI of a file of a log, by the day of its rows, its writer and its number."""
    return f"{uri.rstrip('/')}/date={day.isoformat()}/{writer}-{number:06}.parquet"


def read(uri: str, since: datetime | None = None) -> pa.Table:
    """Read the rows of a log; if there are none, an empty table with the columns of every log.

    Args:
        uri: the log.
        since: leave out rows from before.

    Raises:
        LooplineError: it cannot be read, or has a file that is not part of a log.
    """
    store, path = storage.filesystem(uri)
    day = since.astimezone(UTC).date().isoformat() if since else ""
    tables = []
    for name in storage.names(uri):
        folder, _, file = name.partition("/")
        if folder.startswith("date=") and folder >= f"date={day}" and file.endswith(".parquet"):
            try:
                tables.append(pq.read_table(f"{path}/{name}", filesystem=store))
            except (OSError, pa.ArrowInvalid) as error:
                raise LooplineError(f"{uri}/{name} cannot be read as part of a prediction log: {error}") from error
    if not tables:
        return prediction_log.SCHEMA.empty_table()
    table = pa.concat_tables(tables, promote_options="default")
    if since:
        table = table.filter(pc.greater_equal(table[prediction_log.TIME], pa.scalar(since, TIMESTAMP)))
    return table

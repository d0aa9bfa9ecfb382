"""The prediction log: a row for each row of a request to an endpoint, whether it was answered or failed.

Serving writes it, the analysis of a release reads it. A log can have more columns, such as request id and entity.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.errors import LooplineError

TIME = "time"  # when it was answered
VERSION = "model_version"  # of the pod that received it, also if it failed
FAILED = "failed"
LATENCY = "latency_seconds"
SCORE = "score"  # probability or prediction; null if it failed
ROW = "row"  # optional: number of the row within its request, from 0
LABEL = "label"  # joined once it is known; until then null, or no such column

SCHEMA = pa.schema(
    [
        pa.field(TIME, pa.timestamp("us", "UTC"), nullable=False),
        pa.field(VERSION, pa.string(), nullable=False),
        pa.field(FAILED, pa.bool_(), nullable=False),
        pa.field(LATENCY, pa.float64()),
        pa.field(SCORE, pa.float64()),
        pa.field(LABEL, pa.float64()),
    ]
)


def expect(table: pa.Table) -> pa.Table:
    """The requests of a prediction log, each by its first row, in the columns and types of `SCHEMA`.

    The rows of one request are answered or fail together, so for a statistical test they are one observation.
    A log without labels gets a column of nulls.

    Raises:
        LooplineError: a column is missing, or has another type.
    """
    if LABEL not in table.column_names:
        table = table.append_column(SCHEMA.field(LABEL), pa.nulls(len(table), pa.float64()))
    if ROW in table.column_names:
        row = table[ROW]
        table = table.filter(pc.or_kleene(pc.is_null(row), pc.equal(row, 0)))
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise LooplineError(
            f"the prediction log has no column {', '.join(missing)}; it has {', '.join(table.column_names)}"
        )
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise LooplineError(f"the prediction log has {table[field.name].null_count:,} rows without {field.name}")
    columns = []
    for field in SCHEMA:
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise LooplineError(f"column {field.name} of the prediction log is not {field.type}: {error}") from error
    return pa.table(columns, schema=SCHEMA)


def numbers(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where it is null."""
    return np.asarray(table[column].cast(pa.float64()).to_numpy(), dtype=np.float64)

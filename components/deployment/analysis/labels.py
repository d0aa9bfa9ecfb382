"""Join labels to a prediction log."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract import prediction_log
from loopline.components.contract.examples import TIMESTAMP, identity_columns
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError

_POSITION = "position in the log"


def with_labels(log: pa.Table, entities: pa.Table, spec: UseCaseSpec, known_by: datetime) -> pa.Table:
    """The log with its label column filled in where the label is known.

    Rows are joined on the entity's keys and the time of the event. Rows without an entity get no label; several
    requests for the same entity all get its label.

    Args:
        log: rows of a prediction log, with the columns that serving adds.
        entities: rows of the entity table, with the label and the time when it became known.
        spec: of the use case.
        known_by: labels that became known later are not joined.

    Raises:
        LooplineError: a column is missing, or an entity occurs more than once.
    """
    keys = identity_columns(spec)
    wanted = [*keys, spec.label.column, spec.label.known_at]
    for what, table, names in (("the prediction log", log, keys), (f"table {spec.entity.table}", entities, wanted)):
        absent = [name for name in names if name not in table.column_names]
        if absent:
            raise LooplineError(f"{what} has no column {', '.join(absent)}, which labels are joined by")
    known_at = entities[spec.label.known_at].cast(TIMESTAMP)
    known = pc.fill_null(pc.less_equal(known_at, pa.scalar(known_by, TIMESTAMP)), fill_value=False)
    labels = entities.select([*keys, spec.label.column]).filter(known)
    if labels.group_by(keys).aggregate([]).num_rows != labels.num_rows:
        raise LooplineError(f"table {spec.entity.table} has an entity more than once: {', '.join(keys)} must be unique")
    right = pa.table(
        [*(labels[key].cast(log.schema.field(key).type) for key in keys), labels[spec.label.column].cast(pa.float64())],
        names=[*keys, prediction_log.LABEL],
    )
    rows = log.drop_columns([prediction_log.LABEL]) if prediction_log.LABEL in log.column_names else log
    left = rows.select(keys).append_column(_POSITION, pa.array(range(rows.num_rows), pa.int64()))
    joined = left.join(right, keys=keys, join_type="left outer").sort_by(_POSITION)
    return rows.append_column(prediction_log.SCHEMA.field(prediction_log.LABEL), joined[prediction_log.LABEL])

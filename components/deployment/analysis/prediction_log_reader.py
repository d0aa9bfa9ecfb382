"""Read the prediction log of an endpoint, with the labels that are known by now."""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract import prediction_log_files
from loopline.components.contract.usecase import UseCase
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis.labels import with_labels

_READ_AHEAD = timedelta(days=7)


class PredictionLogReader:
    """The prediction log of a use case's endpoint, joined with labels from the use case's source.

    A label counts as known if it was known at the time of the latest request. With live traffic that is now; in a
    replay it is the replayed time.

    Args:
        case: the use case.
        log: URI of its prediction log.
    """

    def __init__(self, case: UseCase, log: str) -> None:
        self._case = case
        self._log = log
        self._window: Window | None = None
        self._entities: pa.Table | None = None

    def since(self, moment: datetime) -> pa.Table:
        """The rows that were answered since a moment.

        Raises:
            LooplineError: the log or the source cannot be read.
        """
        spec = self._case.spec
        rows = prediction_log_files.read(self._log, moment)
        if not rows.num_rows:
            return rows
        events = pc.min_max(rows[spec.entity.timestamp]).as_py()
        return with_labels(
            rows, self._entities_of(events["min"], events["max"]), spec, events["max"] - spec.entity.lead
        )

    def _entities_of(self, first: datetime, last: datetime) -> pa.Table:
        """Rows of the entity table between two events; they are read from the source a week at a time."""
        known = self._window
        if self._entities is None or known is None or not known.start <= first <= last < known.end:
            self._window = Window(first, last + _READ_AHEAD)
            tables = self._case.source.tables(self._window.start, self._window.end)
            self._entities = pa.table(tables[self._case.spec.entity.table])
        return self._entities

"""An endpoint of this machine without its processes: files, locks and log are real, and a thread serves and asks."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.contract import prediction_log, prediction_log_files
from loopline.components.deployment.targets.served_version import served_versions
from loopline.components.deployment.targets.state_dir import Status, VersionStatus
from loopline.components.io import digest

REQUESTS = 400  # of each version in a tick, whatever its share
TICK = 0.2


class SimulatedEndpoint(threading.Thread):
    """Brings about what is wanted, and answers.

    Args:
        endpoint: prepared with the version that is to serve.
        shift: added to each probability of a version, by version.
    """

    def __init__(self, endpoint, shift=None):
        super().__init__(daemon=True)
        self.endpoint, self.shift = endpoint, shift or {}
        self.asked, self.silent, self.left = threading.Event(), threading.Event(), threading.Event()
        self.seen, self.number, self.events = [], 0, self._events()

    def __enter__(self):
        self.start()
        assert self.asked.wait(30)
        return self

    def __exit__(self, *_):
        self.left.set()
        self.join()

    def run(self):
        state_dir = self.endpoint.state_dir
        with state_dir.locked():
            while not self.left.wait(TICK):
                desired = state_dir.desired()
                served = [version for version in served_versions(desired) if version]
                weights = {version.number: version.percent for version in served}
                if not self.seen or self.seen[-1] != weights:
                    self.seen.append(weights)
                versions = {
                    str(number): VersionStatus(ready=True, percent=weight) for number, weight in weights.items()
                }
                state_dir.write_status(Status(1, 2, 8080, 9901, digest.of_value(desired), "onnx", "", versions))
                if not self.silent.is_set():
                    self._answer(list(weights))
                self.asked.set()

    def _events(self):
        start = datetime(2013, 5, 21, tzinfo=UTC)
        case = self.endpoint.case
        table = pa.table(case.source.tables(start, start + timedelta(days=1))[case.spec.entity.table])
        return table.sort_by(case.spec.entity.timestamp)

    def _answer(self, versions):
        """A file of the log with requests of each version, as if each had been asked about the same events."""
        spec, now, tables = self.endpoint.case.spec, datetime.now(UTC), []
        schema = prediction_log_files.schema(spec)
        for version in versions:
            random = np.random.default_rng(100 * self.number + version)
            events = self.events.take(random.integers(0, len(self.events), REQUESTS))
            late = np.nan_to_num(events[spec.label.column].to_numpy(zero_copy_only=False).astype(float))
            score = np.clip(
                0.2 + 0.3 * late + random.normal(0, 0.05, REQUESTS) + self.shift.get(version, 0), 0.01, 0.99
            )
            columns = {
                prediction_log.TIME: [now] * REQUESTS,
                prediction_log.VERSION: [str(version)] * REQUESTS,
                prediction_log.FAILED: [False] * REQUESTS,
                prediction_log.LATENCY: random.lognormal(-4, 0.3, REQUESTS),
                prediction_log.SCORE: score,
            }
            tables.append(pa.table([self._column(field, columns, events) for field in schema], schema=schema))
        folder = self.endpoint.state_dir.prediction_log / f"date={now.date().isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".part-{self.number}"
        pq.write_table(pa.concat_tables(tables), part)
        part.rename(folder / f"played-{self.number:06}.parquet")
        self.number += 1

    @staticmethod
    def _column(field, columns, events):
        if field.name in columns:
            return pa.array(columns[field.name], field.type)
        if field.name in events.column_names:
            return events[field.name].cast(field.type).combine_chunks()
        return pa.nulls(len(events), field.type)

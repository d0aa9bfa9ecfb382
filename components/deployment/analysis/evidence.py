"""Evidence for a decision: counts of the canary's and the stable version's requests, from the prediction log."""

from datetime import datetime, timedelta
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AwareDatetime, Field, model_validator

from loopline.components.contract import prediction_log as log
from loopline.components.contract.spec import Task
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis.baseline import Baseline, losses
from loopline.components.deployment.analysis.confidence import Floats
from loopline.components.io.strict import Strict

# The delay after which the log is written at the latest.
LATE = timedelta(minutes=5)


class Tally(Strict):
    """Counts of one version's requests.

    Attributes:
        requests: all requests.
        errors: requests that failed or were answered without a number.
        timed: requests whose latency is known.
        slow: timed requests above the baseline's limit.
        scored: requests with a score.
        above: scored requests above each cut of the baseline.
        labelled: scored requests whose label is known.
        loss: sum of their losses, in units of the baseline's worst loss.
        spread: sum of the squared distances of these losses from the baseline's mean.
        ahead: requests dated after the end of the period, because a clock is ahead; counted nowhere else.
        others_since: requests of the other version more than five minutes after the last of this one.
    """

    requests: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    timed: int = Field(default=0, ge=0)
    slow: int = Field(default=0, ge=0)
    scored: int = Field(default=0, ge=0)
    above: tuple[int, ...] = ()
    labelled: int = Field(default=0, ge=0)
    loss: float = Field(default=0, ge=0)
    spread: float = Field(default=0, ge=0)
    ahead: int = Field(default=0, ge=0)
    others_since: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        wholes = {"errors": self.requests, "slow": self.timed, "labelled": self.scored}
        for part, whole in wholes.items():
            if getattr(self, part) > whole:
                raise ValueError(f"{part} {getattr(self, part)} is more than there were: {whole}")
        if any(count > self.scored for count in self.above):
            raise ValueError("more scores lie above a cut than there are")
        return self


class Evidence(Strict):
    """Counts of both versions between two moments."""

    start: AwareDatetime
    end: AwareDatetime
    canary: Tally
    stable: Tally


def from_rows(table: pa.Table, baseline: Baseline, task: Task, period: Window, canary: str, stable: str) -> Evidence:
    """Count the rows of a prediction log that were answered in a period; rows of other versions are ignored.

    Args:
        table: rows of a prediction log, at least those of the period.
        baseline: has the limits and cuts to count against.
        task: of the use case.
        period: since the step began.
        canary: version of the model.
        stable: version of the model.

    Raises:
        LooplineError: the table is not a prediction log.
    """
    table = log.expect(table)
    table = table.filter(pc.greater_equal(table[log.TIME], period.start))
    own, other = (table.filter(pc.equal(table[log.VERSION], version)) for version in (canary, stable))
    return Evidence(
        start=period.start,
        end=period.end,
        canary=_tally(own, other, baseline, task, period.end),
        stable=_tally(other, own, baseline, task, period.end),
    )


def _tally(rows: pa.Table, others: pa.Table, baseline: Baseline, task: Task, end: datetime) -> Tally:
    dated = rows.filter(pc.less(rows[log.TIME], end))
    latency, score, label = (log.numbers(dated, column) for column in (log.LATENCY, log.SCORE, log.LABEL))
    answered = (log.numbers(dated, log.FAILED) == 0) & np.isfinite(score)
    score, label = score[answered], label[answered]
    timed, slow = _slow(latency, baseline)
    known = np.isfinite(label)
    loss = np.zeros(0)
    if baseline.quality and known.any():
        loss = np.minimum(losses(task, label[known], score[known]) / baseline.quality.worst, 1)
    return Tally(
        requests=len(dated),
        errors=int(np.count_nonzero(~answered)),
        timed=timed,
        slow=slow,
        scored=len(score),
        above=tuple(int(np.count_nonzero(score > cut)) for cut in baseline.scores.cuts) if baseline.scores else (),
        labelled=len(loss),
        loss=float(loss.sum()),
        spread=float(np.square(loss - baseline.quality.mean).sum()) if baseline.quality else 0.0,
        ahead=len(rows) - len(dated),
        others_since=_after(others, dated, end),
    )


def _after(others: pa.Table, rows: pa.Table, end: datetime) -> int:
    """How many of the others came so long after the last row that later rows cannot just be delayed."""
    last = pc.max(rows[log.TIME]).as_py()
    if last is None:
        return 0
    times = others[log.TIME]
    return int(pc.sum(pc.and_(pc.less(times, end), pc.greater(times, last + LATE))).as_py() or 0)


def _slow(latency: Floats, baseline: Baseline) -> tuple[int, int]:
    """How many latencies are known (not negative), and how many of them are above the limit."""
    known = latency[latency >= 0]
    limit = baseline.latency.limit if baseline.latency else np.inf
    return len(known), int(np.count_nonzero(known > limit))

"""The baseline of a release: thresholds and priors from the stable version's requests before the release.

It is taken once and kept in the record, so no threshold depends on the requests that it is applied to.
"""

from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from loopline.components.contract import prediction_log as log
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.spec import Task
from loopline.components.deployment.analysis.confidence import Floats
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict

# Fewer requests than this are too few to estimate a quantile.
LEAST = 100
# Scores are float32, which cannot represent probabilities nearer to 1 than this.
SURE = float(np.finfo(np.float32).eps)
_DECILES = np.arange(1, 10) / 10

Share = Annotated[float, Field(ge=0, le=1)]


class LatencyBaseline(Strict):
    """Requests that take more than ``limit`` seconds are slow; ``slow`` is their share."""

    limit: float = Field(gt=0)
    slow: Share


class ScoreBaseline(Strict):
    """Cuts through the distribution of scores, ascending, and the share of the scores above each."""

    cuts: tuple[float, ...] = Field(min_length=1)
    above: tuple[Share, ...] = Field(min_length=1)


class QualityBaseline(Strict):
    """Losses are clipped at ``worst`` and divided by it; ``mean`` is the mean of the result."""

    worst: float = Field(gt=0)
    mean: float = Field(gt=0, le=1)


class Baseline(Strict):
    """The baseline; a part is None if there was no data for it."""

    requests: int
    errors: Share
    latency: LatencyBaseline | None = None
    scores: ScoreBaseline | None = None
    quality: QualityBaseline | None = None


def from_rows(table: pa.Table, policy: ReleasePolicy, task: Task, stable: str) -> Baseline:
    """Take the baseline from the stable version's requests before the release.

    Args:
        table: rows of a prediction log from before the release; rows of other versions are ignored.
        policy: has the latency quantile and factor.
        task: of the use case.
        stable: version of the model.

    Raises:
        LooplineError: the table is not a prediction log, or has fewer than 100 requests of the stable version.
    """
    table = log.expect(table)
    rows = table.filter(pc.equal(table[log.VERSION], stable))
    expect_enough(len(rows), stable)
    latency, score, label = (log.numbers(rows, column) for column in (log.LATENCY, log.SCORE, log.LABEL))
    answered = (log.numbers(rows, log.FAILED) == 0) & np.isfinite(score)
    score, label = score[answered], label[answered]
    known = np.isfinite(label)
    return Baseline(
        requests=len(rows),
        errors=1 - np.count_nonzero(answered) / len(rows),
        latency=_latency(latency[latency >= 0], policy),
        scores=_scores(score),
        quality=_quality(losses(task, label[known], score[known])),
    )


def expect_enough(requests: int, stable: str) -> None:
    """Refuse to take a baseline from fewer than 100 requests.

    Raises:
        LooplineError: they are fewer than 100.
    """
    if requests < LEAST:
        raise LooplineError(
            f"the stable version {stable} answered {requests} requests before the release, and it takes {LEAST} "
            "for a baseline: release again once it has had more traffic"
        )


def _latency(latency: Floats, policy: ReleasePolicy) -> LatencyBaseline | None:
    if len(latency) < LEAST:
        return None
    limit = max(policy.latency.factor * float(np.quantile(latency, policy.latency.quantile)), 1e-6)
    return LatencyBaseline(limit=limit, slow=np.count_nonzero(latency > limit) / len(latency))


def _scores(score: Floats) -> ScoreBaseline | None:
    if len(score) < LEAST:
        return None
    cuts = np.unique(np.quantile(score, _DECILES))
    above = np.array([np.count_nonzero(score > cut) for cut in cuts]) / len(score)
    return ScoreBaseline(cuts=tuple(cuts.tolist()), above=tuple(above.tolist()))


def _quality(loss: Floats) -> QualityBaseline | None:
    """Losses are clipped at twice their 99th percentile, since the test of a mean needs bounded values."""
    if len(loss) < LEAST or not loss.any():
        return None
    worst = 2 * float(np.quantile(loss, 0.99)) or float(loss.max())
    return QualityBaseline(worst=worst, mean=float(np.minimum(loss / worst, 1).mean()))


def losses(task: Task, label: Floats, score: Floats) -> Floats:
    """The loss of each request: log loss of a classification, squared error of a regression.

    Raises:
        LooplineError: a label of a classification is neither 0 nor 1.
    """
    if task == "regression":
        return np.asarray(np.square(label - score))
    if not np.isin(label, (0, 1)).all():
        raise LooplineError("the prediction log has labels other than 0 and 1, and the use case is a classification")
    certain = np.clip(score, SURE, 1 - SURE)
    return np.asarray(-np.log(np.where(label == 1, certain, 1 - certain)))

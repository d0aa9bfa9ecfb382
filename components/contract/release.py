"""The release policy: the section ``release`` of usecase.yaml, how traffic shifts to a new version."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from loopline.components.contract.duration import parse_duration
from loopline.components.io.strict import Strict

# Lines of a step's output that start with this stay on the screen of `loopline release`.
DECISION_PREFIX = "decision: "
# Format of the JSON record of a release.
RECORD_FORMAT: Literal["loopline.release/2"] = "loopline.release/2"

Percent = Annotated[int, Field(ge=1, le=99)]


def _in_seconds(length: timedelta) -> str:
    return f"{length.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


# Written to JSON as people write it, so that the record can be read again.
TimeLimit = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(_in_seconds, when_used="json"),
    Field(gt=timedelta(0)),
]


class Bound(Strict):
    """How much worse than the stable version a canary may be.

    Attributes:
        worse_by: the canary is rolled back once it is shown to be worse by more than this.
        margin: the check passes once the canary is shown to be worse by less than ``worse_by`` plus this.
    """

    worse_by: float = Field(ge=0, lt=1)
    margin: float = Field(gt=0, lt=1)


class ErrorBound(Bound):
    """Share of failed requests, above the stable version's."""

    worse_by: float = Field(default=0.005, ge=0, lt=1)
    margin: float = Field(default=0.01, gt=0, lt=1)


class LatencyBound(Bound):
    """Share of requests slower than ``factor`` times the stable's own ``quantile``, above the stable version's."""

    quantile: float = Field(default=0.95, gt=0, lt=1)
    factor: float = Field(default=1.25, ge=1)
    worse_by: float = Field(default=0.02, ge=0, lt=1)
    margin: float = Field(default=0.03, gt=0, lt=1)


class ScoreBound(Bound):
    """Distance of the two distributions of scores: the largest difference between the shares above any score.

    A canary legitimately differs from the stable version, so this is wide; it finds a broken one before labels arrive.
    """

    worse_by: float = Field(default=0.15, ge=0, lt=1)
    margin: float = Field(default=0.05, gt=0, lt=1)


class QualityBound(Bound):
    """Mean loss (log loss, or squared error of a regression), relative to the stable version's mean loss."""

    worse_by: float = Field(default=0.02, ge=0, lt=1)
    margin: float = Field(default=0.08, gt=0, lt=1)


class ReleasePolicy(Strict):
    """How a canary is released.

    Attributes:
        steps: percent of the traffic that the canary gets in each step; after the last it is promoted.
        requests: [minimum, maximum] requests of the canary in a step. It does not advance before the minimum; at the
            maximum it advances unless it was shown to be worse.
        time_limit: maximum duration of a step: then it advances as at the maximum of requests, or is rolled back if it
            got fewer than the minimum.
        false_rollback: maximum probability that a canary within all bounds is rolled back, over the whole release.
    """

    steps: tuple[Percent, ...] = Field(default=(5, 25, 50), min_length=1)
    requests: tuple[int, int] = (500, 10_000)
    time_limit: TimeLimit = timedelta(days=1)
    false_rollback: float = Field(default=0.05, gt=0, lt=0.5)
    errors: ErrorBound = ErrorBound()
    latency: LatencyBound = LatencyBound()
    scores: ScoreBound = ScoreBound()
    quality: QualityBound = QualityBound()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps {list(self.steps)} are not in ascending order; write for example [5, 25, 50]")
        least, most = self.requests
        if least < 1:
            raise ValueError(f"requests is [least, most], and its least is {least}; it takes at least one request")
        if least > most:
            raise ValueError("requests is [least, most], and its least is above its most")
        return self

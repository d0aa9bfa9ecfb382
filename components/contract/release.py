"""How a new version takes over the traffic of an endpoint: the section ``release`` of usecase.yaml."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from loopline.components.contract.duration import parse_duration
from loopline.components.io.strict import Strict

# Lines of a step's output that start with this stay on the screen of `loopline release`.
DECISION_PREFIX = "decision: "
# Of the JSON that says how a release went, for whoever acts on that.
RECORD_FORMAT: Literal["loopline.release/1"] = "loopline.release/1"

Percent = Annotated[int, Field(ge=1, le=99)]


def _in_seconds(length: timedelta) -> str:
    return f"{length.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


# Written to JSON as it is written by people, so that a record of it can be read again.
TimeLimit = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(_in_seconds, when_used="json"),
    Field(gt=timedelta(0)),
]


class Bound(Strict):
    """How much worse than the stable version a canary may be.

    Attributes:
        worse_by: it is rolled back once it is shown to be worse by more than this.
        margin: it passes once it is shown to be worse by less than ``worse_by`` and this together.
    """

    worse_by: float = Field(ge=0, lt=1)
    margin: float = Field(gt=0, lt=1)


class ErrorBound(Bound):
    """Share of failed requests, in addition to the stable's."""

    worse_by: float = Field(default=0.005, ge=0, lt=1)
    margin: float = Field(default=0.01, gt=0, lt=1)


class LatencyBound(Bound):
    """Share of requests slower than ``factor`` times the stable's own ``quantile``, in addition to the stable's."""

    quantile: float = Field(default=0.95, gt=0, lt=1)
    factor: float = Field(default=1.25, ge=1)
    worse_by: float = Field(default=0.02, ge=0, lt=1)
    margin: float = Field(default=0.03, gt=0, lt=1)


class ScoreBound(Bound):
    """Distance of the two distributions of scores: the largest difference between the shares above any score.

    A canary differs from the stable for good reasons, so this is wide; it finds what is broken before labels arrive.
    """

    worse_by: float = Field(default=0.15, ge=0, lt=1)
    margin: float = Field(default=0.05, gt=0, lt=1)


class QualityBound(Bound):
    """Mean loss (log loss, or squared error of a regression), as a share of the stable's own mean loss."""

    worse_by: float = Field(default=0.02, ge=0, lt=1)
    margin: float = Field(default=0.08, gt=0, lt=1)


class ReleasePolicy(Strict):
    """How a canary is released.

    Attributes:
        steps: percent of the traffic that the canary gets, step by step; after the last it becomes the stable.
        requests: requests of the canary in a step [least, most]. Before the least it does not advance; at the most it
            does, if nothing was shown against it.
        time_limit: a step ends after so long: it advances as at the most requests, and is rolled back below the least.
        false_rollback: probability at most that a canary within all bounds is rolled back, over the whole release.
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
            raise ValueError(f"steps {list(self.steps)} do not ascend; write for example [5, 25, 50]")
        least, most = self.requests
        if least < 1:
            raise ValueError(f"requests is [least, most], and its least is {least}; it takes at least one request")
        if least > most:
            raise ValueError("requests is [least, most], and its least is above its most")
        return self

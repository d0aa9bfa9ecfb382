"""The sections ``validation`` and ``retrain`` of usecase.yaml: gates of a model, and when it replaces the champion."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from loopline.components.contract.fields import Duration, Name
from loopline.components.io.strict import Strict


class Scenario(Strict):
    """A perturbation of the inputs under which the model is evaluated again.

    Attributes:
        missing: feature views or features that are set to missing.
        shift: feature -> number of its standard deviations to add.
    """

    name: Name
    missing: tuple[str, ...] = ()
    shift: dict[str, float] = Field(default_factory=dict)


class Gate(Strict):
    """A bound that a model must meet before it can become champion.

    Attributes:
        metric: name of a metric of the evaluation (or of the footprint: latency_p99_ms, model_bytes).
        slice: apply it to the worst slice of this column instead of overall.
        scenario: apply it under this robustness scenario instead of on clean inputs.
    """

    metric: Name
    min: float | None = None
    max: float | None = None
    slice: str | None = None
    scenario: str | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError(f"gate on {self.metric} has neither min nor max")
        if self.slice and self.scenario:
            raise ValueError(f"gate on {self.metric} names both a slice and a scenario; make it two gates")
        return self


class Validation(Strict):
    """How a model is evaluated. A slice with fewer rows than ``slice_rows`` is shown but no gate applies to it."""

    slices: tuple[str, ...] = ()
    slice_rows: int = Field(default=200, ge=1)
    scenarios: tuple[Scenario, ...] = ()
    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _gates_can_be_judged(self) -> Self:
        for gate in self.gates:
            if gate.slice and gate.slice not in self.slices:
                raise ValueError(f"gate on {gate.metric}: '{gate.slice}' is not among slices: {', '.join(self.slices)}")
            names = [scenario.name for scenario in self.scenarios]
            if gate.scenario and gate.scenario not in names:
                raise ValueError(f"gate on {gate.metric}: '{gate.scenario}' is not among scenarios: {', '.join(names)}")
        return self


class Retrain(Strict):
    """When a challenger replaces the champion.

    Attributes:
        window: how much history the challenger is trained on.
        metric: the metric of the comparison, on the same rows.
        min_gain: minimum improvement over the champion.
        confidence: level of the paired-bootstrap interval whose lower end must exceed ``min_gain``.
        resamples: number of bootstrap resamples.
    """

    window: Duration
    metric: Name
    min_gain: float = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: int = Field(default=500, ge=100)

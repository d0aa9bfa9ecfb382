"""What the platform has to know of a step beyond its KFP interface: declared above each component.

Placement, the local cache and the report read these declarations; none of them knows a step by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Component = TypeVar("Component")

# What a step changes besides its outputs: nothing; the state at its locations, where a second time changes nothing
# more; or something else, such as a message that is sent.
Effects = Literal["none", "locations", "outside"]
# What the report shows an output as; a note is any Markdown.
Shown = Literal[
    "data",
    "quarantine",
    "examples",
    "evaluation",
    "footprint",
    "verdict",
    "comparison",
    "promotion",
    "predictions",
    "publication",
    "weights",
    "skew",
    "card",
    "note",
]


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """The facts of one step, used as a decorator above ``@dsl.component``.

    Attributes:
        effects: what it changes besides its outputs. With effects outside it always runs; with effects at its
            locations it is served from the cache while these are as it left them.
        locations: its parameters that name where state lies, such as a model registry. A folder is mounted into the
            step's container, and a cached result counts only for the state that it was made with.
        reads_source: it reads the use case's source, so its result holds for one fingerprint of that data.
        always_runs: its answer depends on how things stand at the moment, so it is never served from the cache.
        calls_service: it talks to a service that may be away for a moment.
        gpu: it runs on a GPU pool where the run names one.
        refusals: those of its answers (its unnamed output) that say no.
        reason: the output artifact that says why: JSON with a ``reason``, or Markdown whose first paragraph does.
        shows: what the report shows of its outputs, by name.
    """

    effects: Effects
    locations: tuple[str, ...] = ()
    reads_source: bool = False
    always_runs: bool = False
    calls_service: bool = False
    gpu: bool = False
    refusals: tuple[str, ...] = ()
    reason: str = ""
    shows: Mapping[str, Shown] = field(default_factory=dict)

    @property
    def cacheable(self) -> bool:
        """Whether an earlier result can stand for another execution."""
        return self.effects != "outside" and not self.always_runs

    def __call__(self, component: Component) -> Component:
        """Declare these facts of a KFP component, which is returned as it is.

        Raises:
            ValueError: the component has no parameter or output of a declared name, or locations are missing.
        """
        kfp: Any = component  # kfp is untyped
        spec = kfp.component_spec
        outputs = {*self.shows, *([self.reason] if self.reason else [])}
        unknown = sorted(({*self.locations} - {*(spec.inputs or {})}) | (outputs - {*(spec.outputs or {})}))
        if unknown:
            raise ValueError(f"{spec.name} declares {', '.join(unknown)}, but has no such parameter or output")
        if self.effects == "locations" and not self.locations:
            raise ValueError(f"{spec.name} declares effects at its locations, but names no location")
        _declared[spec.implementation.container.image, kfp.python_func.__name__] = self
        return component


# By image and name of the function.
_declared: dict[tuple[str, str], StepFacts] = {}


def declared(image: str) -> dict[str, StepFacts]:
    """The facts of the steps that were declared for an image so far, by the name of their function."""
    return {name: facts for (of, name), facts in _declared.items() if of == image}

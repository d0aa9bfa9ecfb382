"""One step of the demo: a release, what was released, and how many requests were answered meanwhile."""

from typing import NamedTuple

from pydantic import Field

from loopline.components.contract.model import Model
from loopline.components.deployment.release.record import Record
from loopline.components.io.strict import Strict


class PackagedVersion(NamedTuple):
    """A version number and the packaged model that it names."""

    number: int
    model: Model


class DemoStep(Strict):
    """A release made by the demo.

    Attributes:
        canary: what was released, in words.
        record: every decision of the release.
        answered: requests that either version answered during the release.
        failed: requests that got no answer or an error.
    """

    canary: str
    record: Record
    answered: int = Field(ge=0)
    failed: int = Field(ge=0)

"""An act of the loop: a release that it made, what was released, and what became of those who asked meanwhile."""

from typing import NamedTuple

from pydantic import Field

from loopline.components.contract.model import Model
from loopline.components.deployment.record import Record
from loopline.components.io.strict import Strict


class Version(NamedTuple):
    """What an act releases, or releases over: a version of the model, and its package."""

    number: int
    model: Model


class Act(Strict):
    """A release of the loop.

    Attributes:
        canary: what was released, in words.
        record: everything that was decided.
        answered: requests that were answered while it went on, by either version. ``failed``: those that were not.
    """

    canary: str
    record: Record
    answered: int = Field(ge=0)
    failed: int = Field(ge=0)

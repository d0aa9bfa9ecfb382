"""An act of the loop: a release that it made, and what was released."""

from components.contract.strict import Strict
from components.deployment.record import Record


class Act(Strict):
    """A release of the loop.

    Attributes:
        canary: what was released, in words.
        record: everything that was decided.
    """

    canary: str
    record: Record

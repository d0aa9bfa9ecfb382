"""What a check found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from loopline.components.errors import LooplineError


class HiddenError(Exception):
    """We may not see this, or there is no way to ask: neither good nor bad."""


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        subject: what was looked at.
        state: ``skipped`` where it does not apply or cannot be seen from here.
        sentence: what there is; of something wrong, also what to do.
    """

    subject: str
    state: Literal["good", "wrong", "skipped"]
    sentence: str


def checked(subject: str, check: Callable[[], Finding]) -> Finding:
    """Make a check and turn what it raises into a finding."""
    try:
        return check()
    except HiddenError as error:
        return Finding(subject, "skipped", str(error))
    except LooplineError as error:
        return Finding(subject, "wrong", str(error))

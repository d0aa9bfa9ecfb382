"""The result of one check, as ``loopline doctor`` prints it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_errors import NoClusterError, NotPermittedError, UnreachableError

# Where a check neither passes nor fails, because what it needs cannot be read from here.
INCONCLUSIVE = (NoClusterError, NotPermittedError, UnreachableError)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: ``skipped`` where the check does not apply, or what it needs cannot be read from here.
        message: what was found; of a failed check also what to do.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    message: str


def run_check(name: str, check: Callable[[], CheckResult]) -> CheckResult:
    """Run a check; the error that it raises becomes its result."""
    try:
        return check()
    except INCONCLUSIVE as error:
        return CheckResult(name, "skipped", str(error))
    except LooplineError as error:
        return CheckResult(name, "failed", str(error))

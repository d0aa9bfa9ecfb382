"""Says what is decided while a release goes on."""

from loopline.components.contract.release import DECISION_PREFIX
from loopline.components.deployment.analysis.analyse import Decision


class DecisionPrinter:
    """Prints each decision once, and of those to wait the first of a step.

    Attributes:
        latest: the last decision, of either kind; None before the first.
    """

    def __init__(self) -> None:
        self.latest: Decision | None = None
        self._said = ""

    def tell(self, decision: Decision) -> None:
        """Print it, if it is new."""
        self.latest, step = decision, decision.step
        kind = f"{step.number} {decision.outcome}"
        if kind != self._said:
            self._said = kind
            text = f"step {step.number}, {step.percent}%: {decision.outcome}: {decision.reason}"
            print(f"{DECISION_PREFIX}{text}", flush=True)

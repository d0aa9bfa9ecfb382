"""Print the decisions of a release as they are made."""

from loopline.components.contract.release import DECISION_PREFIX
from loopline.components.deployment.analysis.analyse import Decision


class DecisionPrinter:
    """Prints every decision once; of the decisions to wait, only the first of each step.

    Attributes:
        latest: the last decision, also one to wait; None before the first.
    """

    def __init__(self) -> None:
        self.latest: Decision | None = None
        self._printed = ""

    def on_decision(self, decision: Decision) -> None:
        """Print a decision if it is new."""
        self.latest, step = decision, decision.step
        key = f"{step.number} {decision.outcome}"
        if key != self._printed:
            self._printed = key
            text = f"step {step.number}, {step.percent}%: {decision.outcome}: {decision.reason}"
            print(f"{DECISION_PREFIX}{text}", flush=True)

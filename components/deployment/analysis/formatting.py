"""Checks of a release as text."""

from loopline.components.deployment.analysis.checks import Check

_SUBJECTS = {
    "errors": "failed requests",
    "latency": "slow requests",
    "scores": "scores above the cut where they differ most",
    "quality": "mean loss",
}


def sentence(check: Check) -> str:
    """The result of a check, as part of a sentence."""
    if check.estimate is None:
        return f"{_SUBJECTS[check.name]}: nothing to compare"
    return (
        f"{_SUBJECTS[check.name]} {value(check, check.canary)} against {value(check, check.stable)}, "
        f"{'apart' if check.name == 'scores' else 'worse'} by {value(check, check.estimate)} "
        f"({interval(check)}), where {value(check, check.bound)} is allowed"
    )


def value(check: Check, number: float | None) -> str:
    """A number of a check: a share in per cent, a loss with four decimals; empty for None."""
    if number is None:
        return ""
    return f"{number:.4f}" if check.name == "quality" else f"{number:.2%}"


def interval(check: Check) -> str:
    """The confidence interval of a check."""
    return f"{value(check, check.low)} to {value(check, check.high)}" if check.low is not None else ""

"""Metrics in text: with the label of the use case, in little room, and their values with units."""

import math

from loopline.components.contract.metrics import metric_title
from loopline.components.pages import formatting

_SHORT = {"average_precision": "AP"}
_SHARES = {"mean_predicted": "{} share predicted", "mean_seen": "{} share seen"}


def metric_name(name: str, label: str | None = None) -> str:
    """The name of a metric within a sentence.

    Args:
        name: the metric.
        label: the label of a classification, whose means are then called shares of that label.
    """
    if label and name in _SHARES:
        return _SHARES[name].format(label)
    return metric_title(name)


def short_metric_name(name: str, label: str | None = None) -> str:
    """The same where there is little room."""
    return _SHORT.get(name) or metric_name(name, label).replace(" share ", " ")


def metric_heading(name: str, label: str | None = None) -> str:
    """The same at the head of a column or a row."""
    return formatting.title(metric_name(name, label))


def metric_value(name: str, value: float | None) -> str:
    """The value of a metric with its unit, at the precision at which differences begin to matter."""
    if value is None or math.isnan(value):
        return "–"
    if name == "model_bytes":
        return f"{value / 1e6:.3g} MB" if value >= 1e5 else f"{value / 1e3:.3g} kB"
    if name.endswith("_ms"):
        return f"{value:.2f} ms"
    if name in {"rows_per_second", "parameters"}:
        return formatting.count(value)
    return formatting.number(value)

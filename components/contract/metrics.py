"""The metrics of a model: the name each has in artifacts and gates, its title in reports, and which way is better."""

from collections.abc import Mapping

# What an evaluation holds, by task, the most telling first.
EVALUATION_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary_classification": (
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "calibration_error",
        "mean_predicted",
        "mean_seen",
    ),
    "regression": ("rmse", "mae", "r2", "calibration_error", "mean_predicted", "mean_seen"),
}
# What a footprint holds: size and speed on one core.
FOOTPRINT_METRICS = ("model_bytes", "parameters", "latency_p50_ms", "latency_p99_ms", "rows_per_second")
# The few that a table of models leads with.
HEADLINE_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary_classification": ("auc", "average_precision", "calibration_error"),
    "regression": ("rmse", "mae", "r2", "calibration_error"),
}
# Metrics for which less is better; for every other, more is.
LOWER_IS_BETTER = frozenset(
    {"calibration_error", "log_loss", "brier", "rmse", "mae", "latency_p50_ms", "latency_p99_ms", "model_bytes"}
)
# Where the title is not simply the name without its underscores.
TITLES = {
    "auc": "AUC",
    "brier": "Brier score",
    "latency_p50_ms": "latency (p50)",
    "latency_p99_ms": "latency (p99)",
    "mae": "MAE",
    "model_bytes": "model size",
    "r2": "R²",
    "rmse": "RMSE",
}


def metric_title(metric: str) -> str:
    """A metric's name as people read it in a sentence: ``AUC``, ``average precision``."""
    return TITLES.get(metric, metric.replace("_", " "))

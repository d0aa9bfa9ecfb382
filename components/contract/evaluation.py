"""The evaluation artifact: metrics of a model on some examples, and its scores, so that two can be compared.

Layout::

    evaluation.json      what `Evaluation` holds
    scores.parquet       identity columns, label, score, one row per labelled example, in the order of the examples
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from loopline.components.errors import LooplineError

FILE = "evaluation.json"
SCORES = "scores.parquet"
SCORE = "score"  # its column of scores; the labels are in examples.LABEL

Metrics = dict[str, float]
Document = TypeVar("Document", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class CalibrationBin(_Part):
    """Rows with a score in one bin: their mean score, their mean label, and their number."""

    predicted: float
    seen: float
    rows: int


class Curves(_Part):
    """Points for plotting. ROC as (false, true positive rate, threshold), PR as (recall, precision, threshold).

    Both are thinned to a few hundred points and empty for regression. ``confusion`` is [[tn, fp], [fn, tp]] at
    ``threshold``.
    """

    roc: list[tuple[float, float, float]] = []
    precision_recall: list[tuple[float, float, float]] = []
    calibration: list[CalibrationBin] = []
    confusion: list[list[int]] = []
    threshold: float = 0.5


class Slice(_Part):
    """Metrics of the rows with one value of one column; ``judged`` is false if they are too few."""

    column: str
    value: str
    rows: int
    judged: bool
    metrics: Metrics


class ScenarioResult(_Part):
    """Metrics of the same rows with perturbed inputs."""

    name: str
    metrics: Metrics


class Evaluation(_Part):
    """The evaluation of a model.

    Attributes:
        model: digest of the packaged model.
        examples: digest of the examples.
        start: start of their window, ISO. ``end``: the end, excluded.
        rows: number of examples; ``labelled`` of them have a label.
        metrics: `EVALUATION_METRICS`; the calibration error of a regression is over deciles of the prediction.
        months: the same metrics by month of the event, ``YYYY-MM``.
        unseen: per categorical feature, the share of rows with a value unseen in training.
        scores: digest of scores.parquet.
    """

    format: Literal["loopline.evaluation/1"] = "loopline.evaluation/1"
    usecase: str
    task: Literal["binary_classification", "regression"]
    model: str
    examples: str
    start: str
    end: str
    rows: int
    labelled: int
    metrics: Metrics
    months: dict[str, Metrics]
    curves: Curves
    slices: list[Slice]
    scenarios: list[ScenarioResult]
    unseen: dict[str, float] = {}
    scores: str = ""


class Footprint(_Part):
    """Size and speed of the model; measured, so different each time, and therefore kept apart from the evaluation.

    Attributes:
        metrics: `FOOTPRINT_METRICS`; latency is of one row, rows_per_second in batches.
    """

    format: Literal["loopline.footprint/1"] = "loopline.footprint/1"
    model: str
    metrics: Metrics


class GateResult(_Part):
    """One gate and its value (None if the rows do not define it); ``sentence`` says it in words."""

    gate: dict[str, Any]
    value: float | None
    passed: bool
    sentence: str


class Verdict(_Part):
    """Whether a model may become champion, and the results of its gates."""

    format: Literal["loopline.verdict/1"] = "loopline.verdict/1"
    model: str
    passed: bool
    reason: str
    gates: list[GateResult]


class Comparison(_Part):
    """Champion and challenger on the same rows, with a paired-bootstrap interval of the challenger's gain."""

    format: Literal["loopline.comparison/1"] = "loopline.comparison/1"
    champion: str
    challenger: str
    metric: str
    rows: int
    champion_value: float
    challenger_value: float
    gain: float
    low: float
    high: float
    min_gain: float = 0.0
    confidence: float
    resamples: int
    better: bool
    reason: str
    champion_metrics: Metrics = {}
    challenger_metrics: Metrics = {}


def read(kind: type[Document], path: Path | str) -> Document:
    """Read one of these from its JSON file, or from the folder that holds evaluation.json.

    Raises:
        LooplineError: it is missing or invalid.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise LooplineError(f"there is no {kind.__name__.lower()} at {file}") from error
    except ValueError as error:
        raise LooplineError(f"{file} is not a valid {kind.__name__.lower()}: {str(error).splitlines()[0]}") from error

"""The evaluation artifact: how a model did on some examples, and the scores it gave, so that two can be compared.

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
    """Rows whose score fell into one bin: their mean score, the mean of what was seen, and how many."""

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
    """Metrics of the rows with one value of one column; ``judged`` is false where they are too few."""

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
    """How a model did.

    Attributes:
        model: digest of the packaged model.
        examples: digest of the examples.
        start: first moment of their window, ISO. ``end``: the end, excluded.
        rows: examples in all; ``labelled`` of them had a label.
        metrics: `EVALUATION_METRICS`; the calibration error of a regression is over deciles of the prediction.
        months: the same metrics by month of the event, ``YYYY-MM``.
        unseen: per categorical feature, the share of rows whose value training had not seen.
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
    """What the model costs; measured, so not the same twice, and kept apart from the evaluation for that reason.

    Attributes:
        metrics: `FOOTPRINT_METRICS`; latency is of one row, rows_per_second in batches.
    """

    format: Literal["loopline.footprint/1"] = "loopline.footprint/1"
    model: str
    metrics: Metrics


class GateResult(_Part):
    """One gate held against its number (none where the rows do not define it); ``sentence`` says it in words."""

    gate: dict[str, Any]
    value: float | None
    passed: bool
    sentence: str


class Verdict(_Part):
    """Whether a model may become champion, and the gates that say so."""

    format: Literal["loopline.verdict/1"] = "loopline.verdict/1"
    model: str
    passed: bool
    reason: str
    gates: list[GateResult]


class Comparison(_Part):
    """Champion against challenger on the same rows, with a paired-bootstrap interval of the challenger's gain."""

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
        LooplineError: it is missing or no such thing.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise LooplineError(f"there is no {kind.__name__.lower()} at {file}") from error
    except ValueError as error:
        raise LooplineError(f"{file} is no {kind.__name__.lower()}: {str(error).splitlines()[0]}") from error

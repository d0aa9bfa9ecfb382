"""One evaluation as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from pyarrow.parquet import ParquetFile

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.evaluation import SCORE, SCORES, Evaluation, Footprint, Metrics, Slice, read
from loopline.components.contract.examples import LABEL
from loopline.components.contract.metrics import EVALUATION_METRICS
from loopline.components.io import atomic
from loopline.components.pages import charts, evaluation_charts
from loopline.components.pages.formatting import count, counted, share
from loopline.components.pages.metric_names import metric_heading, metric_value
from loopline.components.pages.page import render
from loopline.components.validation.metrics import leading
from loopline.components.validation.weighted_metrics import Floats

TEMPLATES = Path(__file__).with_name("templates")
BINS = 40

Rows = list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, what to know for reading it, and the colour and name of each series."""

    heading: str
    chart: Markup
    caption: str = ""
    series: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class SlicedColumn:
    """The slices of one column: a chart of the leading metric, and all metrics as rows with a style class for each."""

    column: str
    chart: Markup
    rows: Rows
    classes: list[str]


def write_report(
    usecase: str, evaluation_path: Path | str, footprint_path: Path | str, report_path: Path | str
) -> None:
    """Write the HTML report of one evaluation.

    Args:
        usecase: package of the use case.
        evaluation_path: folder of an evaluation.
        footprint_path: footprint of the same model.
        report_path: the file to write.

    Raises:
        LooplineError: there is no such evaluation or footprint.
    """
    spec = contract_usecase.load(usecase).spec
    evaluation, footprint = read(Evaluation, evaluation_path), read(Footprint, footprint_path)
    scores = ParquetFile(Path(evaluation_path) / SCORES).read()
    label, score = (np.asarray(scores.column(column).to_numpy(), dtype=np.float64) for column in (LABEL, SCORE))
    names, metric = EVALUATION_METRICS[evaluation.task], leading(evaluation.metrics)
    page = render(
        TEMPLATES,
        "evaluation.html.j2",
        spec=spec,
        evaluation=evaluation,
        leading=metric,
        headings=[metric_heading(name) for name in names],
        curves=_curves(evaluation, label, score),
        confusion=_confusion(evaluation),
        slices=_slices(evaluation, metric, names),
        scenarios=_scenarios(evaluation, names),
        months=[[month, *_cells(metrics, names)] for month, metrics in evaluation.months.items()]
        if len(evaluation.months) > 1
        else [],
        months_chart=evaluation_charts.months({"model": evaluation}, metric),
        unseen=[[feature, share(value)] for feature, value in evaluation.unseen.items()],
        footprint=[[metric_heading(name), metric_value(name, value)] for name, value in footprint.metrics.items()],
    )
    atomic.write_text(Path(report_path), page)


def score_histogram(label: Floats, score: Floats) -> Figure:
    """Histogram of the probabilities predicted for each class."""
    edges = np.linspace(0, 1, BINS + 1)
    shares = {}
    for value in (0, 1):
        some = score[label == value]
        heights = np.histogram(some, edges)[0] / max(len(some), 1)
        shares[f"label {value} ({counted(len(some), 'row')})"] = heights.tolist()
    chart = charts.histogram(shares, edges.tolist(), "predicted probability", "share of the class")
    return Figure("Scores", chart, series=list(enumerate(shares)))


def error_histogram(label: Floats, score: Floats) -> Figure:
    """Histogram of predicted minus seen, without the half per cent at either end."""
    errors = score - label
    low, high = np.quantile(errors, [0.005, 0.995])
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    heights = {counted(len(errors), "row"): np.histogram(errors, edges)[0].tolist()}
    return Figure("Errors", charts.histogram(heights, edges.tolist(), "predicted minus seen (middle 99%)", "rows"))


def _curves(evaluation: Evaluation, label: Floats, score: Floats) -> list[Figure]:
    one = {"model": evaluation}
    figures = []
    if evaluation.curves.roc:
        figures = [
            Figure("ROC", evaluation_charts.roc(one), f"{_named('auc', evaluation)}. The dashed line is chance."),
            Figure(
                "Precision and recall",
                evaluation_charts.precision_recall(one),
                f"{_named('average_precision', evaluation)}. The dashed line is the share of positives.",
            ),
        ]
    figures.append(
        Figure(
            "Calibration",
            evaluation_charts.calibration(one),
            f"{_named('calibration_error', evaluation)}. On the dashed line, predicted and seen are equal. "
            "A larger dot is more rows.",
        )
    )
    histogram = error_histogram if evaluation.task == "regression" else score_histogram
    return [*figures, histogram(label, score)]


def _named(metric: str, evaluation: Evaluation) -> str:
    return f"{metric_heading(metric)} {metric_value(metric, evaluation.metrics.get(metric))}"


def _confusion(evaluation: Evaluation) -> Rows:
    return [[f"seen {seen}", *map(count, counts)] for seen, counts in enumerate(evaluation.curves.confusion)]


def _slices(evaluation: Evaluation, metric: str, names: Sequence[str]) -> list[SlicedColumn]:
    columns: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        columns.setdefault(part.column, []).append(part)
    return [
        SlicedColumn(
            column=column,
            chart=evaluation_charts.slices(column, parts, metric, evaluation.metrics[metric]),
            rows=[[part.value, count(part.rows), *_cells(part.metrics, names)] for part in parts],
            classes=["" if part.judged else "unjudged" for part in parts],
        )
        for column, parts in columns.items()
    ]


def _scenarios(evaluation: Evaluation, names: Sequence[str]) -> Rows:
    if not evaluation.scenarios:
        return []
    results: Mapping[str, Metrics] = {s.name: s.metrics for s in evaluation.scenarios}
    return [
        [scenario, *_cells(metrics, names)]
        for scenario, metrics in {"unchanged inputs": evaluation.metrics, **results}.items()
    ]


def _cells(metrics: Metrics, names: Sequence[str]) -> list[str]:
    return [metric_value(name, metrics.get(name)) for name in names]

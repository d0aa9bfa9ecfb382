"""One evaluation as a web page that stands alone: no script, nothing fetched."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from pyarrow.parquet import ParquetFile

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.evaluation import SCORE, SCORES, Evaluation, Footprint, Metrics, Slice, read
from loopline.components.contract.examples import LABEL
from loopline.components.contract.metrics import EVALUATION_METRICS, caption
from loopline.components.io import atomic
from loopline.components.validation import plots
from loopline.components.validation.metrics import Floats, leading
from loopline.components.validation.wording import number, share, short, span

TEMPLATE = Path(__file__).with_name("report.html")


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
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Evaluation of {spec.name}"),
        description=escape(spec.description),
        facts=_facts(evaluation, spec.timezone),
        tiles="".join(_tile(metric, value) for metric, value in evaluation.metrics.items()),
        sections="\n".join(
            [
                _section("Curves", _curves(evaluation, label, score)),
                _section("Slices", _slices(evaluation, spec.validation.slice_rows)),
                _section("Disturbed inputs", _scenarios(evaluation)),
                _section("By month", _months(evaluation)),
                _section("Values training had not seen", _unseen(evaluation)),
                _section("Footprint", _footprint(footprint)),
            ]
        ),
    )
    atomic.write_text(Path(report_path), page)


def _facts(evaluation: Evaluation, timezone: str) -> str:
    facts = {
        "Window": span(evaluation.start, evaluation.end, timezone),
        "Rows": f"{evaluation.labelled:,} labelled of {evaluation.rows:,}",
        "Model": short(evaluation.model),
        "Examples": short(evaluation.examples),
    }
    return "".join(f"<li>{escape(key)} <b>{escape(value)}</b></li>" for key, value in facts.items())


def _tile(metric: str, value: float) -> str:
    return f'<div class="tile"><span>{escape(caption(metric))}</span><b>{number(value)}</b></div>'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>" if content else ""


def _figure(title: str, svg: str, caption: str = "") -> str:
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{escape(title)}</h3>{svg}{note}</figure>"


def _table(caption: str, head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = "") -> str:
    """A table in a card; each row is a CSS class and its cells, the first of which is the row's heading."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr class="{row}"><th scope="row">{escape(cells[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
        + "</tr>"
        for row, cells in rows
    )
    table = f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="card {kind}">{table}</div>'


def _cells(metrics: Metrics, names: Sequence[str]) -> list[str]:
    return [number(metrics[metric]) if metric in metrics else "–" for metric in names]


def _curves(evaluation: Evaluation, label: Floats, score: Floats) -> str:
    one, curves = {"model": evaluation}, evaluation.curves
    bins = "On the dotted line, what was predicted is what was seen. Larger dots: more rows."
    figures = [
        _figure("Calibration", plots.calibration(one), bins),
        _figure("Errors", plots.errors(label, score))
        if evaluation.task == "regression"
        else _figure("Scores", plots.scores(label, score)),
    ]
    if curves.roc:
        figures[:0] = [
            _figure("ROC", plots.roc(one), "The dotted line is guessing."),
            _figure("Precision and recall", plots.precision_recall(one), "The dotted line is the share of positives."),
        ]
    content = f'<div class="stack"><div class="plots">{"".join(figures)}</div>'
    if curves.confusion:
        rows = [
            ("", [f"seen {seen}", *(f"{count:,}" for count in counts)]) for seen, counts in enumerate(curves.confusion)
        ]
        caption = f"Confusion at threshold {number(curves.threshold)}" + (", where F1 is highest" if curves.roc else "")
        content += _table(caption, ["", "called 0", "called 1"], rows, "narrow")
    return content + "</div>"


def _slices(evaluation: Evaluation, least: int) -> str:
    columns: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        columns.setdefault(part.column, []).append(part)
    metric, names = leading(evaluation.metrics), EVALUATION_METRICS[evaluation.task]
    figures, tables = "", ""
    for column, parts in columns.items():
        figures += _figure(column, plots.slices(column, parts, metric, evaluation.metrics[metric]))
        rows = [
            ("" if part.judged else "unjudged", [part.value, f"{part.rows:,}", *_cells(part.metrics, names)])
            for part in parts
        ]
        table = _table("Grey: too few rows to be judged", [column, "Rows", *map(caption, names)], rows)
        tables += f"<details><summary>All metrics by {escape(column)}</summary>{table}</details>"
    legend = (
        f"{caption(metric)}, and the number of rows. Dotted: all rows. Hollow: fewer than {least:,} rows, not judged."
    )
    return f'<p class="muted">{legend}</p><div class="columns">{figures}</div>{tables}' if figures else ""


def _scenarios(evaluation: Evaluation) -> str:
    if not evaluation.scenarios:
        return ""
    names = EVALUATION_METRICS[evaluation.task]
    rows = [("", ["inputs as they came", *_cells(evaluation.metrics, names)])]
    rows += [("", [scenario.name, *_cells(scenario.metrics, names)]) for scenario in evaluation.scenarios]
    return _table("The same rows with inputs taken away or shifted", ["Scenario", *map(caption, names)], rows)


def _months(evaluation: Evaluation) -> str:
    if len(evaluation.months) < 2:
        return ""
    names = EVALUATION_METRICS[evaluation.task]
    table = _table(
        "Month of the event",
        ["Month", *map(caption, names)],
        [("", [m, *_cells(v, names)]) for m, v in evaluation.months.items()],
    )
    metric = leading(evaluation.metrics)
    return f'<div class="stack">{_figure(caption(metric), plots.months({"model": evaluation}, metric))}{table}</div>'


def _unseen(evaluation: Evaluation) -> str:
    if not evaluation.unseen:
        return ""
    rows = [("", [feature, share(value)]) for feature, value in evaluation.unseen.items()]
    return _table("Share of rows whose category is new to the model", ["Feature", "Rows"], rows, "narrow")


def _footprint(footprint: Footprint) -> str:
    metrics: Mapping[str, float] = footprint.metrics
    rows = [("", [caption(metric), number(value)]) for metric, value in metrics.items()]
    return _table("Measured here, on one core", ["", "Value"], rows, "narrow")

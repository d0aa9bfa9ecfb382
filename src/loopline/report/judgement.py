"""Evaluations made ready to be seen: models that were judged on the same rows stand side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loopline.components.contract.evaluation import Evaluation, Slice
from loopline.components.contract.spec import UseCaseSpec
from loopline.report import plots, words
from loopline.report.evidence import Evidence, Found
from loopline.report.naming import Names

# Below this recall a precision is that of a handful of rows, and the line would jump between 0 and 1.
LEAST_RECALL = 0.01


@dataclass(frozen=True)
class Judged:
    """One model's evaluation, what it is called and its series colour."""

    name: str
    colour: int
    evaluation: Evaluation


@dataclass(frozen=True)
class Panel:
    """All models that were judged on one window."""

    title: str
    rows: int
    judged: Sequence[Judged]
    metric: str
    task: str

    @property
    def pictures(self) -> list[tuple[str, Markup]]:
        """The plots of this task, each with its name."""
        calibration = plots.calibration(
            [(self._series(j, []), j.evaluation.curves.calibration) for j in self.judged], bounded=not self._regression
        )
        if self._regression:
            return [("Calibration by decile of the prediction", calibration)]
        roc = [self._series(j, [(x, y) for x, y, _ in j.evaluation.curves.roc]) for j in self.judged]
        recall = [
            self._series(j, [(x, y) for x, y, _ in j.evaluation.curves.precision_recall if x >= LEAST_RECALL])
            for j in self.judged
        ]
        base = self.judged[0].evaluation.metrics.get("mean_seen")
        return [
            ("ROC", plots.roc(roc)),
            ("Precision and recall", plots.precision_recall(recall, base)),
            ("Calibration", calibration),
        ]

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in the order of the evaluation."""
        return list(dict.fromkeys(name for j in self.judged for name in j.evaluation.metrics))

    @property
    def slices(self) -> list["SliceTable"]:
        """A table for each column that was sliced by, in the order of the evaluation."""
        columns = dict.fromkeys(s.column for j in self.judged for s in j.evaluation.slices)
        return [SliceTable(column, list(self._slice_rows(column))) for column in columns]

    @property
    def scenarios(self) -> list["ScenarioRow"]:
        """A row for each robustness scenario."""
        names = dict.fromkeys(s.name for j in self.judged for s in j.evaluation.scenarios)
        rows = []
        for name in names:
            values = {
                j.name: s.metrics.get(self.metric)
                for j in self.judged
                for s in j.evaluation.scenarios
                if s.name == name
            }
            cells = [(values.get(j.name), j.evaluation.metrics.get(self.metric)) for j in self.judged]
            rows.append(ScenarioRow(name, cells))
        return rows

    @property
    def _regression(self) -> bool:
        return self.task == "regression"

    def _series(self, judged: Judged, points: Sequence[tuple[float, float]]) -> plots.Series:
        return plots.Series(judged.name, judged.colour, points)

    def _slice_rows(self, column: str) -> Iterator["SliceRow"]:
        by_value: dict[str, dict[str, Slice]] = {}
        for judged in self.judged:
            for part in judged.evaluation.slices:
                if part.column == column:
                    by_value.setdefault(part.value, {})[judged.name] = part
        whole = self.judged[-1].evaluation.metrics.get(self.metric)
        low, high = plots.padded([*self._slice_numbers(), *([whole] if whole is not None else [])])
        for value, some in by_value.items():
            last = next(reversed(some.values()))
            dots = [
                (j.colour, some[j.name].metrics[self.metric])
                for j in self.judged
                if j.name in some and self._counts(some[j.name])
            ]
            yield SliceRow(
                value=value,
                rows=last.rows,
                judged=last.judged,
                values=[some[j.name].metrics.get(self.metric) if j.name in some else None for j in self.judged],
                predicted=last.metrics.get("mean_predicted"),
                seen=last.metrics.get("mean_seen"),
                dots=plots.dots(dots, low, high, whole),
            )

    def _slice_numbers(self) -> list[float]:
        """The metric of all slices of all columns, so that their dots share one scale."""
        return [s.metrics[self.metric] for j in self.judged for s in j.evaluation.slices if self._counts(s)]

    def _counts(self, part: Slice) -> bool:
        return part.judged and self.metric in part.metrics


@dataclass(frozen=True)
class SliceRow:
    """One value of a column: how each model did on it; predicted and seen are those of the last model."""

    value: str
    rows: int
    judged: bool
    values: Sequence[float | None]
    predicted: float | None
    seen: float | None
    dots: Markup


@dataclass(frozen=True)
class SliceTable:
    """The values of one column."""

    column: str
    rows: Sequence[SliceRow]


@dataclass(frozen=True)
class ScenarioRow:
    """One disturbance: for each model its metric under it and without it."""

    name: str
    cells: Sequence[tuple[float | None, float | None]]


def panels(evidence: Evidence, spec: UseCaseSpec, names: Names) -> list[Panel]:
    """A panel for each window that models were judged on, the latest first."""
    by_window: dict[tuple[str, str], dict[str, Found[Evaluation]]] = {}
    for found in evidence.evaluations:
        window = (found.content.end, found.content.start)
        by_window.setdefault(window, {})[found.content.model] = found
    return [
        Panel(
            title=words.window((start, end), spec.timezone),
            rows=next(iter(some.values())).content.labelled,
            judged=_judged(list(some.values()), names),
            metric=spec.retrain.metric,
            task=spec.task,
        )
        for (end, start), some in sorted(by_window.items(), reverse=True)
    ]


def _judged(found: Sequence[Found[Evaluation]], names: Names) -> list[Judged]:
    """The models of one window, the older first; the role in which each was judged is part of its name."""
    models = [f.content.model for f in found]
    judged = []
    for one in found:
        role = one.step.name.rpartition("/")[2].removeprefix("evaluate").strip("-")
        called = names(one.content.model) + (f", {role}" if role else "")
        judged.append(Judged(called, names.colour(one.content.model, models), one.content))
    return sorted(judged, key=lambda j: j.colour)

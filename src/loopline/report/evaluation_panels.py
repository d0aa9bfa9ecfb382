"""The sections on evaluations: models that were evaluated on the same window stand side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loopline.components.contract.evaluation import Evaluation, Slice
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.pages import charts, evaluation_charts
from loopline.components.pages.axes import padded
from loopline.components.pages.formatting import window
from loopline.report.artifacts import LoopArtifacts, StepArtifact
from loopline.report.model_names import ModelNames


@dataclass(frozen=True)
class EvaluatedModel:
    """One model's evaluation, the model's name, and its series colour."""

    name: str
    colour: int
    evaluation: Evaluation


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
    """One robustness scenario: for each model its metric under it and without it."""

    name: str
    cells: Sequence[tuple[float | None, float | None]]


@dataclass(frozen=True)
class Panel:
    """All models that were evaluated on one window."""

    title: str
    rows: int
    models: Sequence[EvaluatedModel]
    metric: str
    task: str

    @property
    def charts(self) -> list[tuple[str, Markup]]:
        """The charts of this task, each with its name."""
        evaluations = {model.name: model.evaluation for model in self.models}
        calibration = evaluation_charts.calibration(evaluations)
        if self.task == "regression":
            return [("Calibration by decile of the prediction", calibration)]
        return [
            ("ROC", evaluation_charts.roc(evaluations)),
            ("Precision and recall", evaluation_charts.precision_recall(evaluations)),
            ("Calibration", calibration),
        ]

    @property
    def legend(self) -> list[tuple[int, str]]:
        """Colour and name of each model."""
        return [(model.colour, model.name) for model in self.models]

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in the order of the evaluation."""
        return list(dict.fromkeys(name for model in self.models for name in model.evaluation.metrics))

    @property
    def slices(self) -> list[SliceTable]:
        """A table for each column that was sliced by, in the order of the evaluation."""
        columns = dict.fromkeys(s.column for model in self.models for s in model.evaluation.slices)
        return [SliceTable(column, list(self._slice_rows(column))) for column in columns]

    @property
    def scenarios(self) -> list[ScenarioRow]:
        """A row for each robustness scenario."""
        results = [{s.name: s.metrics for s in model.evaluation.scenarios} for model in self.models]
        clean = [model.evaluation.metrics.get(self.metric) for model in self.models]
        return [
            ScenarioRow(name, [(one.get(name, {}).get(self.metric), c) for one, c in zip(results, clean, strict=True)])
            for name in dict.fromkeys(name for one in results for name in one)
        ]

    def _slice_rows(self, column: str) -> Iterator[SliceRow]:
        by_value: dict[str, dict[str, Slice]] = {}
        for model in self.models:
            for part in model.evaluation.slices:
                if part.column == column:
                    by_value.setdefault(part.value, {})[model.name] = part
        whole = self.models[-1].evaluation.metrics.get(self.metric)
        low, high = padded([*self._slice_values(), *([whole] if whole is not None else [])])
        for value, some in by_value.items():
            last = next(reversed(some.values()))
            dots = [
                (model.colour, some[model.name].metrics[self.metric])
                for model in self.models
                if model.name in some and self._is_shown(some[model.name])
            ]
            yield SliceRow(
                value=value,
                rows=last.rows,
                judged=last.judged,
                values=[some[m.name].metrics.get(self.metric) if m.name in some else None for m in self.models],
                predicted=last.metrics.get("mean_predicted"),
                seen=last.metrics.get("mean_seen"),
                dots=charts.dots(dots, low, high, whole),
            )

    def _slice_values(self) -> list[float]:
        """The metric of all slices of all columns, so that their dots share one scale."""
        return [s.metrics[self.metric] for m in self.models for s in m.evaluation.slices if self._is_shown(s)]

    def _is_shown(self, part: Slice) -> bool:
        return part.judged and self.metric in part.metrics


def panels(artifacts: LoopArtifacts, spec: UseCaseSpec, names: ModelNames) -> list[Panel]:
    """A panel for each window that models were evaluated on, the latest first."""
    by_window: dict[tuple[str, str], dict[str, StepArtifact[Evaluation]]] = {}
    for found in artifacts.evaluations:
        by_window.setdefault((found.content.end, found.content.start), {})[found.content.model] = found
    return [
        Panel(
            title=window((start, end), spec.timezone),
            rows=next(iter(some.values())).content.labelled,
            models=_models(list(some.values()), names),
            metric=spec.retrain.metric,
            task=spec.task,
        )
        for (end, start), some in sorted(by_window.items(), reverse=True)
    ]


def _models(found: Sequence[StepArtifact[Evaluation]], names: ModelNames) -> list[EvaluatedModel]:
    """The models of one window, the older first; the role in which each was evaluated is part of its name."""
    models = []
    for index, one in enumerate(sorted(found, key=lambda f: names.age(f.content.model))):
        role = one.step.name.rpartition("/")[2].removeprefix(one.step.component).strip("-")
        name = names(one.content.model) + (f", {role}" if role else "")
        models.append(EvaluatedModel(name, index % evaluation_charts.COLOURS, one.content))
    return models

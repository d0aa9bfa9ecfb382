"""The artifacts of some runs, read for the report; one that is missing or damaged is listed, not fatal."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from loopline.compiler import steps
from loopline.components.contract.dataset import FORMAT, MANIFEST, Dataset, read_manifest
from loopline.components.contract.evaluation import Comparison, Evaluation, Footprint, Verdict, read
from loopline.components.contract.step import Shown
from loopline.components.errors import LooplineError
from loopline.local.records import FINISHED_STEP, RunRecord, StepRecord

Content = TypeVar("Content")


@dataclass(frozen=True)
class StepArtifact(Generic[Content]):
    """An artifact of one step of one run, as it was read."""

    run: RunRecord
    step: StepRecord
    content: Content

    @property
    def origin(self) -> str:
        """The pipeline and the step that it is from."""
        return f"{self.run.pipeline} / {self.step.name}"

    @property
    def group(self) -> str:
        """The nested pipeline that the step belongs to, or the pipeline itself."""
        return self.step.name.rpartition("/")[0] or self.run.pipeline


@dataclass(frozen=True)
class Batch:
    """Predictions of one run: rows in and out, and where they were published, if they were."""

    path: str
    version: str
    rows_in: int
    rows_out: int
    rows_quarantined: int
    window: Sequence[str]
    by_date: Mapping[str, int]


@dataclass
class LoopArtifacts:
    """All artifacts, each kind in the order of runs and steps; ``unreadable`` says which could not be read, and why."""

    runs: Sequence[RunRecord]
    data: list[StepArtifact[Dataset]] = field(default_factory=list)
    quarantine: list[StepArtifact[Dataset]] = field(default_factory=list)
    examples: list[StepArtifact[Dataset]] = field(default_factory=list)
    evaluations: list[StepArtifact[Evaluation]] = field(default_factory=list)
    footprints: list[StepArtifact[Footprint]] = field(default_factory=list)
    verdicts: list[StepArtifact[Verdict]] = field(default_factory=list)
    comparisons: list[StepArtifact[Comparison]] = field(default_factory=list)
    promotions: list[StepArtifact[dict[str, Any]]] = field(default_factory=list)
    batches: list[StepArtifact[Batch]] = field(default_factory=list)
    skew: list[StepArtifact[str]] = field(default_factory=list)
    cards: list[StepArtifact[str]] = field(default_factory=list)
    notes: list[StepArtifact[str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def of(self, run: RunRecord, kind: str) -> list[Any]:
        """The contents of one kind from one run."""
        return [found.content for found in getattr(self, kind) if found.run is run]


def load_artifacts(runs: Sequence[RunRecord]) -> LoopArtifacts:
    """Read the artifacts of the finished steps of some runs."""
    artifacts = LoopArtifacts(runs)
    for run, step in _finished_steps(runs):
        for name, shown in shows(step).items():
            if name not in step.outputs:
                continue
            path = Path(step.outputs[name].uri)
            if shown == "predictions":
                _add(artifacts, "batches", run, step, partial(_batch, run, path))
            elif shown in _READERS:
                kind, reader = _READERS[shown]
                _add(artifacts, kind, run, step, partial(reader, path))
    return artifacts


def shows(step: StepRecord) -> Mapping[str, Shown]:
    """What the report shows of a step's outputs, as its declaration says."""
    return steps.facts(step.stage, step.component).shows


def with_evaluations(models: Sequence[Mapping[str, Any]], artifacts: LoopArtifacts) -> list[dict[str, Any]]:
    """The registry's versions, their metrics joined by the months on which these runs evaluated them."""
    months: dict[str, dict[str, Any]] = {}
    for found in artifacts.evaluations:
        months.setdefault(found.content.model, {}).update(found.content.months)
    return [
        {**model, "metrics": dict(sorted({**months.get(model["digest"], {}), **model["metrics"]}.items()))}
        for model in models
    ]


def _finished_steps(runs: Sequence[RunRecord]) -> Iterator[tuple[RunRecord, StepRecord]]:
    for run in runs:
        yield from ((run, step) for step in run.steps if step.state in FINISHED_STEP)


def _add(artifacts: LoopArtifacts, kind: str, run: RunRecord, step: StepRecord, reader: Callable[[], Any]) -> None:
    try:
        getattr(artifacts, kind).append(StepArtifact(run, step, reader()))
    except (LooplineError, OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        artifacts.unreadable.append(f"{kind} of {run.pipeline} / {step.name}: {problem}")


def _dataset(path: Path) -> Dataset:
    """The manifest only: a report need not hash every byte again."""
    return Dataset.open(path, verify=False)


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{path} holds no object")
    return value


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _batch(run: RunRecord, path: Path) -> Batch:
    """Predictions of a run, and where it published them."""
    facts = read_manifest(path / MANIFEST, FORMAT)["facts"]
    receipts = (
        step.outputs[name].uri
        for step in run.steps
        for name, shown in shows(step).items()
        if shown == "publication" and name in step.outputs
    )
    receipt = next((_json(Path(uri)) for uri in receipts), {})
    return Batch(
        path=str(receipt.get("path", "")),
        version=str(facts["model_version"]),
        rows_in=int(facts["rows_in"]),
        rows_out=int(facts["rows_out"]),
        rows_quarantined=int(facts["rows_quarantined"]),
        window=facts["window"],
        by_date=receipt.get("dates", {}),
    )


# How an output is read that the report shows: the list of `LoopArtifacts` that it goes to, and the reader.
_READERS: dict[Shown, tuple[str, Callable[[Path], Any]]] = {
    "data": ("data", _dataset),
    "quarantine": ("quarantine", _dataset),
    "examples": ("examples", _dataset),
    "evaluation": ("evaluations", partial(read, Evaluation)),
    "footprint": ("footprints", partial(read, Footprint)),
    "verdict": ("verdicts", partial(read, Verdict)),
    "comparison": ("comparisons", partial(read, Comparison)),
    "promotion": ("promotions", _json),
    "skew": ("skew", _text),
    "card": ("cards", _text),
    "note": ("notes", _text),
}

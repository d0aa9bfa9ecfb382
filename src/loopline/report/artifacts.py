"""The artifacts of some runs, read for the report; one that is missing or damaged is listed, not fatal."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from loopline.components.contract.dataset import FORMAT, MANIFEST, Dataset, read_manifest
from loopline.components.contract.evaluation import Comparison, Evaluation, Footprint, Verdict, read
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
    unreadable: list[str] = field(default_factory=list)

    def of(self, run: RunRecord, kind: str) -> list[Any]:
        """The contents of one kind from one run."""
        return [found.content for found in getattr(self, kind) if found.run is run]


def load_artifacts(runs: Sequence[RunRecord]) -> LoopArtifacts:
    """Read the artifacts of the finished steps of some runs."""
    artifacts = LoopArtifacts(runs)
    for run, step in _finished_steps(runs):
        for kind, name, reader in _READERS.get(_verb(step), ()):
            if name in step.outputs:
                _add(artifacts, kind, run, step, partial(reader, Path(step.outputs[name].uri)))
        if _verb(step) == "predict" and "predictions" in step.outputs:
            _add(artifacts, "batches", run, step, partial(_batch, run, step))
    return artifacts


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


def _verb(step: StepRecord) -> str:
    """What a step does, whatever it does it to: ``evaluate-champion`` evaluates."""
    name = step.name.rpartition("/")[2]
    return "evaluate" if name.startswith("evaluate") else name


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


def _batch(run: RunRecord, step: StepRecord) -> Batch:
    """What a step predicted, and where the step after it published that."""
    facts = read_manifest(Path(step.outputs["predictions"].uri) / MANIFEST, FORMAT)["facts"]
    published = next((s for s in run.steps if _verb(s) == "publish" and "receipt" in s.outputs), None)
    receipt = _json(Path(published.outputs["receipt"].uri)) if published else {}
    return Batch(
        path=str(receipt.get("path", "")),
        version=str(facts["model_version"]),
        rows_in=int(facts["rows_in"]),
        rows_out=int(facts["rows_out"]),
        rows_quarantined=int(facts["rows_quarantined"]),
        window=facts["window"],
        by_date=receipt.get("dates", {}),
    )


# What a verb's outputs are read as: (kind of artifacts, name of the output, reader).
_READERS: dict[str, tuple[tuple[str, str, Callable[[Path], Any]], ...]] = {
    "validate-data": (("data", "data", _dataset), ("quarantine", "quarantine", _dataset)),
    "join-features": (("examples", "examples", _dataset),),
    "evaluate": (
        ("evaluations", "evaluation", partial(read, Evaluation)),
        ("footprints", "footprint", partial(read, Footprint)),
    ),
    "check-gates": (("verdicts", "verdict", partial(read, Verdict)),),
    "compare": (("comparisons", "comparison", partial(read, Comparison)),),
    "promote": (("promotions", "receipt", _json),),
    "check-skew": (("skew", "report", _text),),
    "write-card": (("cards", "card", _text),),
}

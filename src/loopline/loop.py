"""The loop: it replays the history of a use case, from raw data to a champion and a challenger trained on newer data.

Time is simulated. Each run gets a window and sees nothing that became known after its end.
"""

import importlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import UseCase
from loopline.components.contract.window import iso
from loopline.components.errors import LooplineError
from loopline.components.registry.models import models
from loopline.demo.step import DemoStep, PackagedVersion
from loopline.local.engine import Engine
from loopline.local.records import RunRecord

# A replay starts over: its first model that passes its gates replaces any champion of an earlier replay.
NEW_REPLAY = "any"


@dataclass
class Loop:
    """One replay of a use case.

    Attributes:
        engine: runs the pipelines.
        case: the use case.
        announce: called with a sentence before each run.
        release: whether canaries are released at the end.
        runs: the runs so far, also of a replay that failed.
        demo_steps: the releases so far.
    """

    engine: Engine
    case: UseCase
    announce: Callable[[str], None]
    release: bool = True
    runs: list[RunRecord] = field(default_factory=list)
    demo_steps: list[DemoStep] = field(default_factory=list)
    _reader: ProcessPoolExecutor | None = None

    def replay(self) -> None:
        """Train, validate, predict a batch, materialise, retrain and, unless asked not to, release.

        Raises:
            LooplineError: a run failed, or the first model did not pass its gates; `runs` shows how far it got.
        """
        replay = self.case.spec.replay
        trained = self._run("training", f"train on {_span(replay.train)}, evaluate on {_span(replay.validate_on)}")
        self._prepare_reader()
        version = str(trained.step("register").values["Output"])
        validated = self._run(
            "validation",
            f"evaluate version {version} on {_span(replay.validate_on)}",
            version=version,
            expected_champion=NEW_REPLAY,
        )
        if validated.step("check-gates").values["Output"] != "pass":
            verdict = json.loads(Path(validated.step("check-gates").outputs["verdict"].uri).read_text(encoding="utf-8"))
            raise LooplineError(
                f"version {version} did not pass its gates, so there is no champion: {verdict['reason']}"
            )
        self._run("batch_inference", f"predict {_span(replay.batch)} with version {version}", version=version)
        self._run("materialisation", f"load features up to {replay.batch[1]} into the online store")
        self._run(
            "retrain",
            f"train a challenger of version {version}, compare both on {_span(replay.compare)}",
            champion=version,
        )
        if self.release:
            self._release(int(version))

    def _release(self, champion: int) -> None:
        """Release the challenger, if it was better, and a deliberately bad model; if that fails, announce it."""
        from loopline.demo.releases import Releases

        retrained = self.runs[-1]
        champion_model, newer = (
            Model.open(retrained.step(step).outputs["model"].uri, verify=False) for step in ("fetch-model", "package")
        )
        challenger = None
        if retrained.step("promote").values.get("Output") == "promoted":
            challenger = PackagedVersion(int(retrained.step("register").values["Output"]), newer)
        try:
            self.demo_steps = Releases(self.engine.workspace, self.case, self.announce, self.engine.reuse).run(
                PackagedVersion(champion, champion_model), challenger
            )
        except LooplineError as problem:
            self.announce(f"no canary was released: {problem}")

    def models(self) -> list[dict[str, Any]]:
        """The registered models, newest first, as plain values."""
        reader = self._reader or self.engine.pool()
        with reader:
            found = reader.submit(models, self.case.spec.name, self.engine.workspace.registry).result()
        return [{**asdict(version), "created": iso(version.created)} for version in found]

    def _prepare_reader(self) -> None:
        """Start importing MLflow early if every step is cached: it would take longer than the rest."""
        if all(step.state == "cached" for step in self.runs[0].steps):
            self._reader = self.engine.pool()
            self._reader.submit(importlib.import_module, "mlflow.tracking")

    def _run(self, pipeline: str, sentence: str, **given: str) -> RunRecord:
        self.announce(f"{pipeline}: {sentence}")
        values = parameters.complete(pipeline, self.case, self.engine.workspace, given)
        run = self.engine.run(pipeline_ir.load(pipeline), self.case.package, values)
        self.runs.append(run)
        if run.state != "succeeded":
            logs = self.engine.workspace.runs / run.id / "logs"
            raise LooplineError(f"{pipeline} failed at {run.error} (run {run.id}; logs in {logs})")
        return run


def _span(dates: tuple[object, object]) -> str:
    return f"{dates[0]} to {dates[1]}"

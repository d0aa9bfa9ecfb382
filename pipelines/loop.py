"""The loop: a use case's past, replayed in order, from raw data to a champion that was challenged.

Time is simulated. Each run is given a window and sees nothing that became known after its end.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components.contract.errors import LooplineError
from components.contract.usecase import UseCase
from pipelines import parameters
from pipelines.laptop.engine import Engine
from pipelines.laptop.records import Run

# A replay begins anew: its first model that passes replaces whatever an earlier replay left as champion.
NEW_REPLAY = "any"


@dataclass
class Loop:
    """One replay of a use case.

    Attributes:
        engine: runs the pipelines.
        case: the use case.
        announce: called with a sentence before each run.
        runs: the runs so far, also those of a replay that stopped.
    """

    engine: Engine
    case: UseCase
    announce: Callable[[str], None]
    runs: list[Run] = field(default_factory=list)

    def replay(self) -> None:
        """Train, validate, predict a batch, materialise, retrain.

        Raises:
            LooplineError: a run failed, or the first model did not pass its gates; `runs` tells how far it came.
        """
        replay = self.case.spec.replay
        trained = self._run("training", f"train on {_span(replay.train)}, evaluate on {_span(replay.validate_on)}")
        version = str(trained.step("register").values["Output"])
        judged = self._run(
            "validation",
            f"judge version {version} on {_span(replay.validate_on)}",
            version=version,
            expected_champion=NEW_REPLAY,
        )
        if judged.step("check-gates").values["Output"] != "pass":
            verdict = json.loads(Path(judged.step("check-gates").outputs["verdict"].uri).read_text(encoding="utf-8"))
            raise LooplineError(
                f"version {version} did not pass its gates, so there is no champion: {verdict['reason']}"
            )
        reign = _receipt(judged)["promotion"]
        self._run("batch_inference", f"predict {_span(replay.batch)} with version {version}", version=version)
        self._run("materialise", f"bring the online store up to {replay.batch[1]}")
        self._run(
            "retrain",
            f"challenge version {version}, compare on {_span(replay.compare)}",
            champion=version,
            expected_champion=f"{version}@{reign}",
        )

    def _run(self, pipeline: str, sentence: str, **given: str) -> Run:
        self.announce(f"{pipeline}: {sentence}")
        values = parameters.complete(pipeline, self.case, self.engine.home, given)
        run = self.engine.run(pipeline, self.case.package, values)
        self.runs.append(run)
        if run.state != "succeeded":
            raise LooplineError(
                f"{pipeline} failed at {run.error} (run {run.id}; logs in {self.engine.home.runs / run.id / 'logs'})"
            )
        return run


def _receipt(run: Run) -> dict[str, str]:
    receipt: dict[str, str] = json.loads(Path(run.step("promote").outputs["receipt"].uri).read_text(encoding="utf-8"))
    return receipt


def _span(dates: tuple[object, object]) -> str:
    return f"{dates[0]} to {dates[1]}"

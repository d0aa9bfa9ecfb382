"""What a step costs beyond its own work and imports, beside kfp's own SubprocessRunner."""

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from kfp import components, local

from loopline.compiler import pipeline_ir
from loopline.images import code
from loopline.local.engine import Engine
from loopline.local.workspace import Workspace
from tests.bench.probe_pipeline import probe

USECASE = "tests.usecases.temperature"
STEPS = 6
TURNS = 5


class Silent:
    """A watcher that does not look."""

    def started(self, run: object, step: object) -> None: ...

    def progressed(self, run: object, step: object, line: str) -> None: ...

    def finished(self, run: object, step: object) -> None: ...


def measure() -> list[dict[str, Any]]:
    """Seconds a step, in our processes and in kfp's, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        engine = Engine(workspace, Silent())
        engine.run(probe, USECASE, {"turn": "warm-up"})
        engine.wait_until_warm()
        ours, theirs = [], []
        for turn in range(TURNS):
            ours.append(_ours(engine, f"ours-{turn}"))
            theirs.append(_theirs(Path(folder), f"theirs-{turn}"))
    mine, peer = statistics.median(ours) / STEPS, statistics.median(theirs) / STEPS
    return [
        {
            "name": "step overhead",
            "value": mine,
            "unit": "s/step",
            "peer": f"kfp.local SubprocessRunner(use_venv=False), {peer:.3f} s/step",
            "ratio": mine / peer,
        }
    ]


def _ours(engine: Engine, turn: str) -> float:
    run = engine.run(probe, USECASE, {"turn": turn})
    assert run.state == "succeeded", run.error
    assert all(step.state == "succeeded" for step in run.steps)
    return run.seconds


def _theirs(folder: Path, turn: str) -> float:
    ir = folder / "probe.yaml"
    ir.write_text(pipeline_ir.as_yaml(pipeline_ir.with_images(pipeline_ir.ir_of(probe), code.code_tags())))
    with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "theirs"))
        pipeline = components.load_component_from_file(str(ir))
        begun = time.monotonic()
        pipeline(usecase=USECASE, turn=turn)
        return time.monotonic() - begun

"""Seconds to compile all that Kubernetes holds of a use case, beside kfp's own compiler on the same pipelines."""

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from loopline import project

TURNS = 3
_KFP = """
import sys
from kfp.compiler import Compiler
from loopline.compiler import pipeline_ir
for name in pipeline_ir.PIPELINES:
    Compiler().compile(pipeline_ir.load(name), f"{sys.argv[1]}/{name}.yaml")
"""


def measure() -> list[dict[str, Any]]:
    """What `make compile` takes; its limit is 5 s."""
    ours, theirs = [], []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            loopline = ["-m", "loopline.cli.app", "compile", "--manifests", folder]
            ours.append(_seconds(loopline))
            theirs.append(_seconds(["-c", _KFP, folder]))
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return [
        {
            "name": "compile all pipelines, and what Kubernetes holds of a use case",
            "value": mine,
            "unit": "s",
            "peer": f"kfp's compiler, pipelines as IR only, {peer:.2f} s",
            "ratio": mine / peer,
        }
    ]


def _seconds(arguments: list[str]) -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=project.ROOT)
    return time.monotonic() - begun

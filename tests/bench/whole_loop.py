"""The whole of `make run` after set-up: once from nothing, once with everything cached."""

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

LIMITS = {"first": 150.0, "cached": 20.0}


def measure() -> list[dict[str, Any]]:
    """Seconds of a first and of a cached loop; the peer is what the issue allows."""
    with tempfile.TemporaryDirectory() as home:
        return [_timed(name, home) for name in LIMITS]


def _timed(name: str, home: str) -> dict[str, Any]:
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "loopline.cli.app", "loop"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LOOPLINE_HOME": home},
    )
    seconds = time.monotonic() - begun
    limit = LIMITS[name]
    return {
        "name": f"loop, {name}",
        "value": seconds,
        "unit": "s",
        "peer": f"limit {limit:g} s",
        "ratio": seconds / limit,
    }

"""The endpoint that the serving benchmarks measure: the champion of this checkout, in a workspace of its own.

It needs a champion and Triton: run `make run` first, and `make setup-serving`.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from loopline.cli import serving
from loopline.components.contract import usecase
from loopline.local.endpoint import background
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.replay import instances, request_fields
from loopline.local.workspace import Workspace
from tests.bench import http_load

USECASE = "loopline.usecases.flights"
CASE = usecase.load(USECASE)
PREDICT = f"/v1/models/{CASE.spec.name}:predict"
Row = dict[str, Any]


@contextmanager
def running() -> Iterator[tuple[Endpoint, Iterator[str]]]:
    """The endpoint and, without end, bodies of requests with one row each.

    The score cache next to never hits: a row comes again only after more others than the cache holds.
    """
    with tempfile.TemporaryDirectory() as folder, _workspace(Path(folder)):
        endpoint = background.start(USECASE)
        try:
            url = f"http://127.0.0.1:{endpoint.status().port}"
            rows = list(instances(CASE, *CASE.spec.replay.compare, request_fields(url, CASE.spec.name)))
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, predictor {endpoint.status().predictor}")
            yield endpoint, cycle([json.dumps({"instances": [row]}) for row in rows])
        finally:
            serving.stop(USECASE, serving.Console(file=sys.stderr))


def load(port: int, path: str, bodies: Iterator[str], *, requests: int, **options: Any) -> dict[str, Any]:
    """Send requests from a process of its own; see `http_load.send`."""
    return http_load.Background(port, path, list(islice(bodies, requests)), **options).end()


def figure(name: str, value: float, unit: str) -> Row:
    """A result without a peer."""
    return {"name": name, "value": value, "unit": unit, "peer": "", "ratio": None}


@contextmanager
def _workspace(folder: Path) -> Iterator[None]:
    """A copy of what serving needs of the workspace, so that a running endpoint is left alone."""
    source = Workspace.find()
    for part in ("registry", "features"):
        shutil.copytree(source.root / part, folder / part, symlinks=True)
    before = os.environ.get("LOOPLINE_HOME")
    os.environ["LOOPLINE_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("LOOPLINE_HOME") if before is None else os.environ.update(LOOPLINE_HOME=before)

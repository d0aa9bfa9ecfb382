"""An endpoint from question to answer, beside what others would build, on the same machine in the same run.

It needs a champion and Triton: run `make run` first, and `make setup-serving`. The transformer's prediction cache hits
next to nothing here: a question comes again only after more others than it holds.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset

from loopline.cli import serving
from loopline.components.contract import usecase
from loopline.components.contract.model import Model
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.process import free_ports
from loopline.local.endpoint.replay import instances, request_fields
from loopline.local.workspace import Workspace
from tests.bench import http_load

USECASE = "loopline.usecases.flights"
CASE = usecase.load(USECASE)
PREDICT = f"/v1/models/{CASE.spec.name}:predict"
REQUESTS = {1: 1500, 16: 4000}
PACE, PACED = 200.0, 3000
SPLIT = 10_000
LOGGED_SECONDS = 3.0  # longer than the log takes from one file to the next
REPLAYED = 36_000  # 30 minutes of 20 a second, asked at full speed
Row = dict[str, Any]


def measure() -> list[Row]:
    """Latency and throughput with peers, split, and a long replay."""
    with tempfile.TemporaryDirectory() as folder, _workspace(Path(folder)):
        endpoint = serving.start(USECASE)
        try:
            rows = list(instances(CASE, *CASE.spec.replay.compare, request_fields(_url(endpoint), CASE.spec.name)))
            asked = cycle([json.dumps({"instances": [row]}) for row in rows])
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, predictor {endpoint.status().predictor}")
            found = [*_beside_peers(endpoint, asked), *_paced(endpoint, asked), *_replayed(endpoint, asked)]
            return [*found, *_split(endpoint, asked)]
        finally:
            serving.stop(USECASE, serving.Console(file=sys.stderr))


def _beside_peers(endpoint: Endpoint, asked: Iterator[str]) -> list[Row]:
    """One row a request, at 1 and 16 connections."""
    status = endpoint.status()
    [version] = status.versions
    repository = endpoint.state_dir.model(int(version))
    triton = status.versions[version].ports
    raw = repeat(_raw(Model.open(repository, verify=False)))
    with ExitStack() as stack:
        plain, stock = free_ports(2)
        given = [USECASE, endpoint.workspace.features(CASE.spec.name), str(repository)]
        stack.enter_context(_process("tests.bench.serving_peers.plain_fastapi", *given, str(plain), port=plain))
        transformer = [*given, str(stock), str(triton["predictor_grpc"])]
        stack.enter_context(_process("tests.bench.serving_peers.stock_transformer", *transformer, port=stock))
        targets = {
            "endpoint": (status.port, PREDICT, asked),
            "stock KServe transformer and Triton": (stock, PREDICT, asked),
            "plain FastAPI and ONNX Runtime": (plain, PREDICT, asked),
            "raw Triton, features given": (triton["predictor"], f"/v2/models/{CASE.spec.name}/infer", raw),
        }
        times = {
            (name, connections): _load(*target, requests=requests, connections=connections)
            for connections, requests in REQUESTS.items()
            for name, target in targets.items()
        }
    rows = []
    for (name, connections), found in times.items():
        print(f"  {connections:>2} connections, {name}: {found}")
        if name == "endpoint":
            continue
        ours = times["endpoint", connections]
        for figure, unit in (("p50_ms", "ms"), ("per_second", "1/s")):
            rows.append(
                {
                    "name": f"serving {figure} at {connections} connections",
                    "value": ours[figure],
                    "unit": unit,
                    "peer": f"{name}, {found[figure]:.4g} {unit}",
                    "ratio": ours[figure] / found[figure],
                }
            )
    return rows


def _paced(endpoint: Endpoint, asked: Iterator[str]) -> list[Row]:
    found = _load(endpoint.status().port, PREDICT, asked, requests=PACED, connections=16, rate=PACE)
    print(f"  paced at {PACE:.0f}/s: {found}")
    return [
        _alone(f"serving p99 at {PACE:.0f} requests/s", found["p99_ms"], "ms"),
        _alone("of them failed", found["failed"], ""),
    ]


def _split(endpoint: Endpoint, asked: Iterator[str]) -> list[Row]:
    """The share that a canary really gets, and the time until a weight is in force."""
    [stable] = endpoint.status().versions
    other = "1" if stable != "1" else "2"
    endpoint.set_canary(int(other), 0)
    off, slowest, failed = 0.0, 0.0, 0
    for weight in (5, 25, 50):
        began = time.perf_counter()
        endpoint.set_canary(int(other), weight)
        slowest = max(slowest, time.perf_counter() - began)
        before = endpoint.counters()[other]["requests"]
        failed += _failed(_load(endpoint.status().port, PREDICT, asked, requests=SPLIT, connections=16))
        share = 100 * (endpoint.counters()[other]["requests"] - before) / SPLIT
        print(f"  weight {weight}: {share:.2f} %")
        off = max(off, abs(share - weight))
    load = http_load.Background(endpoint.status().port, PREDICT, list(islice(asked, 3000)), rate=100)
    endpoint.promote(int(other))
    endpoint.set_canary(int(stable), 50)
    endpoint.remove_canary()
    failed += _failed(load.end())
    return [
        _alone(f"split off its weight over {SPLIT} requests", off, "points"),
        _alone("weight change to effect", slowest, "s"),
        _alone("failed requests during split, promotion and rollback", failed, ""),
    ]


def _replayed(endpoint: Endpoint, asked: Iterator[str]) -> list[Row]:
    """What half an hour brings, as fast as it can be asked: memory of each process, and rows of the log."""
    status = endpoint.status()
    [version] = status.versions
    processes = {"envoy": status.envoy, "supervisor": status.supervisor, **status.versions[version].processes}
    before = _logged(endpoint)
    early = _load(status.port, PREDICT, asked, requests=REPLAYED // 4, connections=16)
    warm = {name: _memory(pid) for name, pid in processes.items()}
    late = _load(status.port, PREDICT, asked, requests=REPLAYED - REPLAYED // 4, connections=16)
    after = {name: _memory(pid) for name, pid in processes.items()}
    print(f"  memory in MB, {warm} after a quarter, {after} at the end")
    rows = _logged(endpoint) - before
    answers = REPLAYED - early["refused"] - late["refused"]
    growth = max(after[name] / warm[name] - 1 for name in processes)
    return [
        _alone(f"replay of {REPLAYED} requests, growth of a process after a quarter", 100 * growth, "%"),
        _alone("its answers without a row in the prediction log", answers - rows, ""),
    ]


def _logged(endpoint: Endpoint) -> int:
    """Rows of the prediction log, once no more come."""
    counted = -1
    while counted != (rows := pyarrow.dataset.dataset(endpoint.state_dir.prediction_log).count_rows()):
        counted = rows
        time.sleep(LOGGED_SECONDS)
    return counted


def _load(port: int, path: str, bodies: Iterator[str], *, requests: int, **how: Any) -> dict[str, Any]:
    return http_load.Background(port, path, list(islice(bodies, requests)), **how).end()


def _failed(found: dict[str, Any]) -> int:
    """How many requests failed; what the first was answered is shown."""
    if found["failed"]:
        print(f"  failed: {found['failure'][:400]}")
    return int(found["failed"])


def _raw(model: Model) -> str:
    """A question to the predictor itself."""
    tensors = [
        {"name": name, "shape": [1, len(held)], "datatype": "FP32", "data": [1.0] * len(held)}
        if name == "numbers"
        else {"name": name, "shape": [1, len(held)], "datatype": "BYTES", "data": ["UA"] * len(held)}
        for name, held in model.signature.columns.items()
    ]
    return json.dumps({"inputs": tensors})


@contextmanager
def _process(module: str, *arguments: str, port: int) -> Iterator[None]:
    """A server, ready, until the block ends."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2).close()
                break
            assert process.poll() is None, module
            assert time.monotonic() < deadline, module
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _workspace(folder: Path) -> Iterator[None]:
    """A copy of what serving needs of the workspace, so that an endpoint that runs is left alone."""
    source = Workspace.find()
    for part in ("registry", "features"):
        shutil.copytree(source.root / part, folder / part, symlinks=True)
    before = os.environ.get("LOOPLINE_HOME")
    os.environ["LOOPLINE_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("LOOPLINE_HOME") if before is None else os.environ.update(LOOPLINE_HOME=before)


def _memory(pid: int) -> float:
    process = psutil.Process(pid)
    return round(sum(p.memory_info().rss for p in [process, *process.children()] if _own(process, p)) / 1e6, 1)


def _own(process: psutil.Process, other: psutil.Process) -> bool:
    """A process and its workers, such as Triton's stubs; not the whole endpoint below its supervisor."""
    return other == process or "tritonserver" in process.name()


def _url(endpoint: Endpoint) -> str:
    return f"http://127.0.0.1:{endpoint.status().port}"


def _alone(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": value, "unit": unit, "peer": "", "ratio": None}

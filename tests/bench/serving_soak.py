"""An endpoint under sustained load: memory, prediction log, canary weights, promotion and rollback."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import psutil
import pyarrow.dataset

from loopline.local.endpoint.endpoint import Endpoint
from tests.bench import http_load
from tests.bench.serving_endpoint import PREDICT, Row, figure, load, running

SPLIT = 10_000
LOG_INTERVAL = 3.0  # longer than the interval between two files of the log
REPLAYED = 36_000  # 30 minutes at 20 requests/s, sent at full speed


def measure() -> list[Row]:
    """A long replay, then canary weights, promotion and rollback."""
    with running() as (endpoint, bodies):
        return [*_replay(endpoint, bodies), *_split(endpoint, bodies)]


def _replay(endpoint: Endpoint, bodies: Iterator[str]) -> list[Row]:
    """Growth of each process, and rows missing in the prediction log."""
    status = endpoint.status()
    [version] = status.versions
    processes = {"envoy": status.envoy, "supervisor": status.supervisor, **status.versions[version].processes}
    before = _logged(endpoint)
    early = load(status.port, PREDICT, bodies, requests=REPLAYED // 4, connections=16)
    warm = {name: _memory(pid) for name, pid in processes.items()}
    late = load(status.port, PREDICT, bodies, requests=REPLAYED - REPLAYED // 4, connections=16)
    after = {name: _memory(pid) for name, pid in processes.items()}
    print(f"  memory in MB, {warm} after a quarter, {after} at the end")
    rows = _logged(endpoint) - before
    responses = REPLAYED - early["refused"] - late["refused"]
    growth = max(after[name] / warm[name] - 1 for name in processes)
    return [
        figure(f"replay of {REPLAYED} requests, growth of a process after a quarter", 100 * growth, "%"),
        figure("responses without a row in the prediction log", responses - rows, ""),
    ]


def _split(endpoint: Endpoint, bodies: Iterator[str]) -> list[Row]:
    """The share of requests that a canary gets, and the time until a weight is in force."""
    [stable] = endpoint.status().versions
    other = "1" if stable != "1" else "2"
    endpoint.set_canary(int(other), 0)
    off, slowest, failed = 0.0, 0.0, 0
    for weight in (5, 25, 50):
        began = time.perf_counter()
        endpoint.set_canary(int(other), weight)
        slowest = max(slowest, time.perf_counter() - began)
        before = endpoint.counters()[other]["requests"]
        failed += _failed(load(endpoint.status().port, PREDICT, bodies, requests=SPLIT, connections=16))
        share = 100 * (endpoint.counters()[other]["requests"] - before) / SPLIT
        print(f"  weight {weight}: {share:.2f} %")
        off = max(off, abs(share - weight))
    background_load = http_load.Background(endpoint.status().port, PREDICT, list(islice(bodies, 3000)), rate=100)
    endpoint.promote(int(other))
    endpoint.set_canary(int(stable), 50)
    endpoint.remove_canary()
    failed += _failed(background_load.end())
    return [
        figure(f"split off its weight over {SPLIT} requests", off, "points"),
        figure("weight change to effect", slowest, "s"),
        figure("failed requests during split, promotion and rollback", failed, ""),
    ]


def _logged(endpoint: Endpoint) -> int:
    """Rows of the prediction log, once no more arrive."""
    counted = -1
    while counted != (rows := pyarrow.dataset.dataset(endpoint.state_dir.prediction_log).count_rows()):
        counted = rows
        time.sleep(LOG_INTERVAL)
    return counted


def _failed(result: dict[str, Any]) -> int:
    """The number of failed requests; prints the first failure."""
    if result["failed"]:
        print(f"  failed: {result['failure'][:400]}")
    return int(result["failed"])


def _memory(pid: int) -> float:
    process = psutil.Process(pid)
    return round(sum(p.memory_info().rss for p in [process, *process.children()] if _own(process, p)) / 1e6, 1)


def _own(process: psutil.Process, other: psutil.Process) -> bool:
    """Whether a process is this one or a worker of it, such as Triton's stubs; a supervisor's children are not."""
    return other == process or "tritonserver" in process.name()

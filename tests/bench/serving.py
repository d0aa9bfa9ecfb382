"""An endpoint beside what others would build, on the same machine in the same run."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat

import psutil

from loopline.components.contract.model import Model
from loopline.components.contract.signature import DATATYPES
from loopline.components.deployment.targets.state_dir import Status
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.process import free_ports
from tests.bench.serving_endpoint import CASE, PREDICT, USECASE, Row, figure, load, running

REQUESTS = {1: 1500, 16: 4000}
ROUNDS = 3
PACE, PACED = 200.0, 3000
SAMPLES = {"FP32": 1.0, "BYTES": "UA"}


def measure() -> list[Row]:
    """Latency and throughput with peers, then latency at a fixed rate."""
    with running() as (endpoint, bodies):
        return [*_beside_peers(endpoint, bodies), *_paced(endpoint, bodies)]


def _beside_peers(endpoint: Endpoint, bodies: Iterator[str]) -> list[Row]:
    """One row a request, over 1 and 16 connections; the median round by throughput of each."""
    status = endpoint.status()
    [version] = status.versions
    package = endpoint.state_dir.model(int(version))
    ports = status.versions[version].ports
    processes = _process_count(status)
    raw = repeat(_predictor_body(Model.open(package, verify=False)))
    with ExitStack() as stack:
        one, many, stock = free_ports(3)
        arguments = [USECASE, endpoint.workspace.features(CASE.spec.name), str(package)]
        for port, workers in ((one, 1), (many, processes)):
            command = ("tests.bench.serving_peers.plain_fastapi", *arguments, str(port), str(workers))
            stack.enter_context(_server(*command, port=port))
        transformer = ("tests.bench.serving_peers.stock_transformer", *arguments, str(stock))
        stack.enter_context(_server(*transformer, str(ports["predictor_grpc"]), port=stock))
        targets = {
            "endpoint": (status.port, PREDICT, bodies),
            "stock KServe transformer and Triton": (stock, PREDICT, bodies),
            "plain FastAPI and ONNX Runtime, 1 process": (one, PREDICT, bodies),
            f"plain FastAPI and ONNX Runtime, {processes} processes": (many, PREDICT, bodies),
            "raw Triton, features given": (ports["predictor"], f"/v2/models/{CASE.spec.name}/infer", raw),
        }
        rounds = [
            {
                (name, connections): load(*target, requests=requests, connections=connections)
                for connections, requests in REQUESTS.items()
                for name, target in targets.items()
            }
            for _ in range(ROUNDS)
        ]
    return [row for connections in REQUESTS for row in _compare(rounds, connections, list(targets))]


def _compare(rounds: list[dict[tuple[str, int], Row]], connections: int, names: list[str]) -> list[Row]:
    """The endpoint's figures beside each peer's, with the median ratio of the rounds."""
    rows = []
    for name in names:
        found = [of_round[name, connections] for of_round in rounds]
        print(f"  {connections:>2} connections, {name}: {found}")
        if name == "endpoint":
            continue
        for key, unit in (("p50_ms", "ms"), ("per_second", "1/s")):
            pairs = sorted(
                (of_round["endpoint", connections][key] / of_round[name, connections][key], number)
                for number, of_round in enumerate(rounds)
            )
            ratio, number = pairs[len(pairs) // 2]
            rows.append(
                {
                    "name": f"serving {key} at {connections} connections",
                    "value": rounds[number]["endpoint", connections][key],
                    "unit": unit,
                    "peer": f"{name}, {rounds[number][name, connections][key]:.4g} {unit}",
                    "ratio": ratio,
                }
            )
    return rows


def _paced(endpoint: Endpoint, bodies: Iterator[str]) -> list[Row]:
    found = load(endpoint.status().port, PREDICT, bodies, requests=PACED, connections=16, rate=PACE)
    print(f"  paced at {PACE:.0f}/s: {found}")
    return [
        figure(f"serving p99 at {PACE:.0f} requests/s", found["p99_ms"], "ms"),
        figure("of them failed", found["failed"], ""),
    ]


def _process_count(status: Status) -> int:
    """Processes on the way of a request: Envoy, the transformer, Triton and its Python stubs."""
    [version] = status.versions.values()
    parts = [psutil.Process(pid) for pid in (status.envoy, *version.processes.values())]
    return sum(1 + len(part.children(recursive=True)) for part in parts)


def _predictor_body(model: Model) -> str:
    """A request to the predictor itself."""
    tensors = [
        {
            "name": name,
            "shape": [1, len(features)],
            "datatype": DATATYPES[name],
            "data": [SAMPLES[DATATYPES[name]]] * len(features),
        }
        for name, features in model.signature.columns.items()
    ]
    return json.dumps({"inputs": tensors})


@contextmanager
def _server(module: str, *arguments: str, port: int) -> Iterator[None]:
    """A server, ready, until the block ends."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        deadline = time.monotonic() + 400
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

"""Real processes of the service and its predictor, on free ports of loopback."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from serving_case import Served

from tests.object_store import free_port

PATIENCE = 180
PROJECT = Path(__file__).parents[3]


@dataclass
class Process:
    """A process that listens.

    Attributes:
        port: of HTTP. ``grpc_port``: of gRPC, if it has one.
        output: what it says.
    """

    process: subprocess.Popen[bytes]
    port: int
    output: Path
    grpc_port: int = 0
    client: httpx.Client = field(default_factory=lambda: httpx.Client(verify=False, trust_env=False))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def predict(self, *instances: dict[str, Any], **options: Any) -> httpx.Response:
        """Send a V1 request."""
        path = f"{self.address}/v1/models/trams:predict"
        return self.client.post(path, json={"instances": instances}, timeout=30, **options)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(f"{self.address}{path}", timeout=30)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series that have these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in wanted))

    def wait(self, path: str = "/v2/health/ready", status: int = 200) -> None:
        """Wait until it answers a path with a status."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}{path}", timeout=5) as response:
                    found = response.status
            except urllib.error.HTTPError as error:
                found = error.code
            except OSError:
                found = 0
            if found == status:
                return
            time.sleep(0.05)
        raise AssertionError(f"no {status} at {path}: {self.output.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def predictor(served: Served, port: int | None = None) -> Iterator[Process]:
    """The predictor on KServe's server."""
    port = port or free_port()
    arguments = ["--model_name", "trams", "--model_dir", str(served.repository), "--http_port", str(port)]
    with _started("loopline.components.serving.predictor.onnx_server", arguments, served, port) as process:
        process.wait("/v2/models/trams/ready")
        yield process


@contextmanager
def transformer(
    served: Served,
    predictor_port: int,
    log: Path | str,
    *more: str,
    ready: str = "/v2/health/ready",
    **environment: str,
) -> Iterator[Process]:
    """The service."""
    port, grpc_port = free_port(), free_port()
    options = {
        "usecase": served.package,
        "model_name": "trams",
        "model_version": "3",
        "store": served.store,
        "log": log,
        "log_interval_seconds": 0.2,
        "predictor_host": f"127.0.0.1:{predictor_port}",
        "http_port": port,
        "grpc_port": grpc_port,
        "drain_seconds": 1,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    with _started("loopline.components.serving.service", [*arguments, *more], served, port, **environment) as process:
        process.grpc_port = grpc_port
        process.wait(ready)
        yield process


@contextmanager
def _started(module: str, arguments: list[str], served: Served, port: int, **environment: str) -> Iterator[Process]:
    output = served.folder / f"{module}-{port}.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=PROJECT,
            env={
                **os.environ,
                **environment,
                "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}{os.pathsep}{served.folder}",
            },
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    running = Process(process, port, output)
    try:
        yield running
    finally:
        running.client.close()
        running.stop(signal.SIGKILL)

"""A version of an endpoint as processes: what is one pod on a cluster, a transformer and the predictor behind it."""

import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets.local_service import Share
from loopline.components.deployment.targets.state_dir import StateDir
from loopline.local.endpoint import service
from loopline.local.endpoint.process import LOOPBACK, Process, free_ports
from loopline.local.endpoint.triton_server import Triton
from loopline.local.workspace import Workspace

GRACE = 20.0


@dataclass(frozen=True)
class Ports:
    """Where the parts of a version listen."""

    http: int
    grpc: int
    predictor: int
    predictor_grpc: int
    predictor_metrics: int


@dataclass(frozen=True)
class Pod:
    """The processes of a version, started."""

    version: int
    ports: Ports
    parts: tuple[Process, ...]

    @classmethod
    def start(cls, share: Share, case: UseCase, workspace: Workspace, triton: Triton | None) -> "Pod":
        """Start transformer and predictor of a version.

        Args:
            share: the version.
            case: the use case.
            workspace: where features and state lie.
            triton: the server to serve it with; KServe's ONNX server if None.
        """
        ports = Ports(*free_ports(5))
        state_dir = StateDir(workspace.serving(case.spec.name))
        log = state_dir.logs / f"v{share.version}"
        commands = _commands(share, case, workspace, triton, ports)
        started = [
            Process.start(
                f"the {part} of version {share.version}", command, environment, log.with_name(f"{log.name}-{part}.log")
            )
            for part, (command, environment) in commands.items()
        ]
        return cls(share.version, ports, tuple(started))

    @property
    def problem(self) -> str:
        """What is wrong with its processes; empty if they run."""
        return "; ".join(filter(None, (part.problem for part in self.parts)))

    def ready(self) -> bool:
        """Whether the transformer says that it, and the predictor behind it, can answer."""
        if self.problem:
            return False
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.ports.http}/v2/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def leave(self) -> bool:
        """Ask it to end, the transformer first, which finishes what it took; return whether all of it has ended."""
        transformer, predictor = self.parts
        for part in (transformer, predictor):
            if not part.problem:
                part.end()
                return False
        return True

    def end(self) -> None:
        """End it, and wait until it has."""
        for part in self.parts:
            part.end()
            part.wait(GRACE)


def _commands(
    share: Share, case: UseCase, workspace: Workspace, triton: Triton | None, ports: Ports
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Command and environment by part, from the containers of the pod."""
    transformer, predictor = service.containers("loopline-triton" if triton else "loopline-onnx")
    state_dir = StateDir(workspace.serving(case.spec.name))
    python = [sys.executable, *transformer["command"][1:]]
    path = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    asked = {
        "--usecase": case.package,
        "--model_name": case.spec.name,
        "--model_version": str(share.version),
        "--host": LOOPBACK,
        "--http_port": str(ports.http),
        "--grpc_port": str(ports.grpc),
        "--predictor_host": f"{LOOPBACK}:{ports.predictor}",
        "--store": workspace.features(case.spec.name),
        "--log": str(state_dir.prediction_log),
        "--log_interval_seconds": "1",
        "--drain_seconds": "0.5",
    }
    if triton:
        served = _triton(predictor, triton, share.repository, state_dir.path / "backends", ports)
    else:
        server = [sys.executable, *predictor["command"][1:]]
        where = {"--model_dir": str(share.repository), "--host": LOOPBACK, "--http_port": str(ports.predictor)}
        served = service.command(predictor, server, case.spec.name, where), path
    return {"transformer": (service.command(transformer, python, case.spec.name, asked), path), "predictor": served}


def _triton(
    container: service.Manifest, triton: Triton, repository: Path, backends: Path, ports: Ports
) -> tuple[list[str], dict[str, str]]:
    settings = {
        "--model-repository": str(repository),
        "--backend-directory": str(backends),
        "--http-address": LOOPBACK,
        "--grpc-address": LOOPBACK,
        "--metrics-address": LOOPBACK,
        "--http-port": str(ports.predictor),
        "--grpc-port": str(ports.predictor_grpc),
        "--metrics-port": str(ports.predictor_metrics),
        "--exit-timeout-secs": "5",
        "--log-warning": "false",  # that there is no GPU
    }
    return service.command(container, [str(triton.program)], "", settings), triton.environment

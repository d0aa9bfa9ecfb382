"""Envoy's admin interface: readiness, the configuration in force, request counts, draining."""

import json
import urllib.request

from loopline.components.errors import LooplineError
from loopline.local.endpoint.envoy.config import ROUTE
from loopline.local.endpoint.process import LOOPBACK

_COUNTERS = {"upstream_rq_completed": "requests", "upstream_rq_5xx": "failed", "upstream_rq_active": "active"}


class Admin:
    """A client of the admin interface.

    Args:
        port: of the admin interface.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def ready(self) -> bool:
        """Whether Envoy accepts requests."""
        try:
            return self._get("/ready").strip() == "LIVE"
        except LooplineError:
            return False

    def applied(self) -> tuple[str, str]:
        """The version strings of the clusters and routes that Envoy has applied.

        Empty for the clusters while one of them waits for its first health check.
        """
        stats = json.loads(self._get("/stats?format=json&filter=cds.version_text|rds.*version_text|warming_clusters"))
        values = {item["name"]: item["value"] for item in stats["stats"] if "value" in item}
        clusters = "" if values["cluster_manager.warming_clusters"] else values["cluster_manager.cds.version_text"]
        return clusters, values[f"http.{ROUTE}.rds.{ROUTE}.version_text"]

    def counters(self) -> dict[str, dict[str, int]]:
        """By model version: ``requests`` completed, ``failed`` (5xx) and ``active``."""
        stats = json.loads(self._get(r"/stats?format=json&filter=^cluster\.v\d%2B-(http|grpc)\.upstream_rq"))["stats"]
        values = {item["name"]: int(item["value"]) for item in stats if "value" in item}
        found: dict[str, dict[str, int]] = {}
        for name, value in values.items():
            _, cluster, stat = name.split(".", 2)
            if stat in _COUNTERS:
                counts = found.setdefault(cluster.partition("-")[0][1:], dict.fromkeys(_COUNTERS.values(), 0))
                counts[_COUNTERS[stat]] += value
        return found

    def drain(self) -> None:
        """Accept no new connections; open ones are closed after their response."""
        self._get("/drain_listeners?graceful", post=True)

    def _get(self, path: str, *, post: bool = False) -> str:
        request = urllib.request.Request(self._url + path, method="POST" if post else "GET")  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=2) as response:  # noqa: S310
                text: str = response.read().decode()
        except OSError as error:
            raise LooplineError(f"Envoy's admin interface does not respond at {self._url}: {error}") from error
        return text

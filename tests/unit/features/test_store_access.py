"""The feature store of a cluster: registry in an object store, online values in Redis; the promises of a disk."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from feature_cases import FLIGHTS, Flights, Make, Parcels

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.components.features import lease, online
from loopline.components.features.build import build_features
from loopline.components.features.catalogue import views
from loopline.components.features.definitions import stored_views
from loopline.components.features.materialise import materialise
from loopline.components.features.repository import open_repository
from loopline.components.features.skew import check_skew
from loopline.components.features.store_access import for_reading
from loopline.components.io import conditional_put, storage
from tests.object_store import free_port

ONE_O_CLOCK = "2020-01-01T13:00"
PASSWORD = "a secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own with a password."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine")
    port = free_port()
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "requirepass": PASSWORD,
        "save": "",
        "dir": tmp_path_factory.mktemp("redis"),
    }
    command = [program, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, password=PASSWORD)
    for _ in range(200):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def store(server: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    redis.Redis.from_url(server, password=PASSWORD).flushall()
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE", server)
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE_PASSWORD", PASSWORD)
    return f"{bucket}/features/parcels"


@pytest.fixture
def case(parcels: Make) -> Parcels:
    made = parcels()
    visits = [("a", 0, 5), ("a", 15, 6), ("b", 10, 7), ("a", 75, 8)]
    made.write([("o1", "a", 1.0, 10, 30, 20.0), ("o2", "b", 1.0, 10, 30, 20.0)], visits)
    build_features(made.package, made.data, made.history)
    return made


def materialise_to(case: Parcels, store: str, end: str, history: Path | None = None) -> dict[str, Any]:
    return materialise(case.package, end, store, history or case.history, case.folder / "receipt.json")


def answers(case: Parcels, store: str, *shops: str) -> list[int | None]:
    (view,) = stored_views(usecase.load(case.package))
    with for_reading(store) as folder:
        repository = open_repository(folder, "parcels")
        found = list(online.read(repository, view, ["visitors"], [{"shop": shop} for shop in shops]))
    return [answer.values["visitors"] for answer in found]


def test_it_moves_on_and_never_beyond_the_moment(case: Parcels, store: str) -> None:
    first = materialise_to(case, store, "2020-01-01T12:05")
    assert (first["views"]["busy"]["rows"], answers(case, store, "a", "b", "x")) == (1, [5, None, None])
    second = materialise_to(case, store, ONE_O_CLOCK)
    assert (second["views"]["busy"]["rows"], answers(case, store, "a", "b")) == (2, [6, 7])
    assert second["views"]["busy"]["start"] == "2020-01-01T12:05:00", "only what is new is looked at"
    for end in (ONE_O_CLOCK, "2020-01-01T12:05"):
        assert materialise_to(case, store, end)["views"]["busy"]["rows"] == 0
    assert answers(case, store, "a", "b") == [6, 7]
    assert second["store"] == store
    assert second["registry"] == f"{store}/registry.db"
    assert views("parcels", store)[0]["materialised"] == "2020-01-01T13:00:00"


def test_a_correction_of_the_same_moment_arrives(case: Parcels, store: str) -> None:
    materialise_to(case, store, ONE_O_CLOCK)
    case.write([], [("a", 0, 50), ("b", 10, 70), ("c", 1, 9)])
    build_features(case.package, case.data, case.folder / "late")
    assert materialise_to(case, store, ONE_O_CLOCK, case.folder / "late")["views"]["busy"]["rows"] == 2
    assert answers(case, store, "a", "b", "c") == [6, 70, 9]


def test_flights_are_the_same_online_and_offline(flights: Flights, store: str, tmp_path: Path) -> None:
    for end in ("2013-02-05T12:00", "2013-02-11"):
        materialise(FLIGHTS, end, store, flights.history.path, tmp_path / "receipt.json")
        results = check_skew(FLIGHTS, end, store, flights.data, flights.history.path, tmp_path / "skew.md")
        assert sum(result.values for result in results) > 500
        assert sum(result.ahead for result in results) == 0
    assert any(result.expired for result in results), "a value past its ttl is still there, and is judged by its age"


def test_no_password_in_the_object_store(case: Parcels, store: str) -> None:
    materialise_to(case, store, ONE_O_CLOCK)
    assert storage.names(store) == [".lease", "feature_store.yaml", "registry.db"]
    for name in storage.names(store):
        content, _ = conditional_put.read(f"{store}/{name}") or (b"", "")
        assert PASSWORD.encode() not in content


def materialise_and_die(*arguments: Any) -> None:
    """In a process of its own, not a fork: the client of the object store does not survive one."""
    write, calls = online.write, []

    def killing(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        write(*args)

    online.write = killing
    materialise(*arguments)


def test_a_kill_in_the_middle_is_repaired_by_the_next_call(
    flights: Flights, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of the dead is taken over once it is seen that nobody renews it."""
    monkeypatch.setattr(lease, "DEAD_SECONDS", 2.0)
    end = "2013-02-11"
    arguments = (FLIGHTS, end, store, flights.history.path, tmp_path / "receipt.json")
    child = multiprocessing.get_context("spawn").Process(target=materialise_and_die, args=arguments)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(LooplineError, match=r"there is no feature store in s3://.* yet"):
        views("flights", store)
    repaired = materialise(FLIGHTS, end, store, flights.history.path, tmp_path / "receipt.json")
    rows = [view["rows"] for view in repaired["views"].values()]
    assert rows.count(0) == 2, "what was written before the kill is there"
    assert {view["materialised"] for view in views("flights", store)} == {"2013-02-11T05:00:00"}


def test_two_at_once_come_one_after_the_other(case: Parcels, store: str) -> None:
    """Whoever comes late with an earlier moment finds the later one done, and brings no old value back."""
    ends = ["2020-01-01T12:05", ONE_O_CLOCK, "2020-01-01T13:15", "2020-01-01T12:20"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda end: materialise_to(case, store, end), ends))
    assert answers(case, store, "a", "b") == [8, 7]
    assert views("parcels", store)[0]["materialised"] == "2020-01-01T13:15:00"


def test_a_lease_keeps_others_out_while_it_is_renewed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.2)
    monkeypatch.setattr(lease, "DEAD_SECONDS", 1.0)
    order: list[str] = []

    def other() -> None:
        with lease.held(f"{bucket}/lease"):
            order.append("other")

    with lease.held(f"{bucket}/lease") as expect_held:
        waiting = threading.Thread(target=other)
        waiting.start()
        time.sleep(2.5)
        expect_held()
        order.append("first")
    waiting.join(20)
    assert order == ["first", "other"]


def test_who_has_lost_a_lease_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.1)
    with lease.held(f"{bucket}/lease") as expect_held:
        while not conditional_put.replace(
            f"{bucket}/lease", b"taken", (conditional_put.read(f"{bucket}/lease") or (b"", ""))[1]
        ):
            pass
        time.sleep(1)
        with pytest.raises(LooplineError, match="was lost"):
            expect_held()


def test_a_store_in_an_object_store_needs_an_online_store_elsewhere(
    case: Parcels, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOOPLINE_ONLINE_STORE", raising=False)
    for act in (lambda: materialise_to(case, bucket, ONE_O_CLOCK), lambda: views("parcels", bucket)):
        with pytest.raises(LooplineError, match="set LOOPLINE_ONLINE_STORE to redis://host:port"):
            act()
    assert storage.names(bucket) == []


def test_a_redis_that_is_away_or_refuses_leaves_the_registry_as_it_was(
    case: Parcels, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise_to(case, store, "2020-01-01T12:05")
    before = conditional_put.read(f"{store}/registry.db")
    with monkeypatch.context() as wrong:
        wrong.setenv("LOOPLINE_ONLINE_STORE_PASSWORD", "another")
        with pytest.raises(LooplineError, match="does not accept LOOPLINE_ONLINE_STORE_PASSWORD"):
            materialise_to(case, store, ONE_O_CLOCK)
    monkeypatch.setenv("LOOPLINE_ONLINE_STORE", f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(LooplineError, match=r"the online store at redis://127\.0\.0\.1:\d+ cannot be reached"):
        materialise_to(case, store, ONE_O_CLOCK)
    assert conditional_put.read(f"{store}/registry.db") == before

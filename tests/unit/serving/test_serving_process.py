"""The service as a process: protocols and their clients, what it logs, how it ends, what it does when others die."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from service_process import PROJECT, Process, predictor, transformer
from serving_case import FRESH, Served, expected, instance, tensors

from loopline.components.contract import prediction_log as log_columns
from loopline.components.contract import prediction_log_files
from tests.object_store import free_port

pytestmark = pytest.mark.serving


def only(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    (prediction,) = response.json()["predictions"]
    return dict(prediction)


def test_v1_uses_stored_features(service: Process) -> None:
    response = service.predict(instance(), headers={"x-request-id": "mine"})
    assert only(response) == {"probability": pytest.approx(expected(**FRESH), abs=1e-6), "missing": [], "stale": []}
    assert response.json() | {"predictions": []} == {
        "predictions": [],
        "model_name": "trams",
        "model_version": "3",
        "id": "mine",
    }


@pytest.mark.parametrize(
    ("changes", "known", "missing", "stale"),
    [
        ({"line": "M2"}, {"signal": 10.0, "stop": "Alex", "years": 3}, [], ["delay", "mood"]),
        ({"line": "M3"}, {"signal": 10.0, "stop": "Alex", "years": 3}, ["delay", "mood"], []),
        ({"line": "M4"}, {"signal": 10.0, "stop": "Alex", "years": 3, "mood": "good"}, ["delay"], []),
        ({"driver": None}, {"signal": 10.0, "stop": "Alex", "delay": 4.0, "mood": "bad"}, ["years"], []),
        ({"signal": None, "stop": "Mars"}, {"delay": 4.0, "mood": "bad", "years": 3}, [], []),
    ],
)
def test_missing_and_stale_features_are_left_out_and_listed(
    service: Process, changes: dict[str, Any], known: dict[str, Any], missing: list[str], stale: list[str]
) -> None:
    prediction = only(service.predict(instance(**changes)))
    assert prediction["probability"] == pytest.approx(expected(**known), abs=1e-6)
    assert (prediction["missing"], prediction["stale"]) == (missing, stale)


def test_predictions_are_in_the_order_of_the_rows(service: Process) -> None:
    rows = [instance(signal=float(row % 100), line=["M1", "M3"][row % 2]) for row in range(1024)]
    response = service.predict(*rows)
    scores = [prediction["probability"] for prediction in response.json()["predictions"]]
    known = [{}, {"delay": 4.0, "mood": "bad"}]
    wanted = [expected(signal=float(row % 100), stop="Alex", years=3, **known[(row + 1) % 2]) for row in range(1024)]
    assert scores == pytest.approx(wanted, abs=1e-6)


def test_v2_returns_the_same(service: Process) -> None:
    rows = [instance(), instance("M2")]
    response = service.client.post(
        f"{service.address}/v2/models/trams/versions/3/infer", json={"inputs": tensors(rows)}
    )
    assert response.status_code == 200, response.text
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    by_v1 = [prediction["probability"] for prediction in service.predict(*rows).json()["predictions"]]
    assert outputs["probability"] == pytest.approx(by_v1, abs=1e-6)
    assert outputs["stale"] == ["[]", '["delay","mood"]']


def test_tritons_client_works(service: Process) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{service.port}")
    assert client.is_server_ready()
    assert client.is_model_ready("trams")
    assert [given["name"] for given in client.get_model_metadata("trams")["inputs"]][:2] == ["line", "trip"]
    inputs = []
    for tensor in tensors([instance()]):
        kinds = {"INT64": np.int64, "FP64": np.float64, "BYTES": object}
        inputs.append(triton.InferInput(tensor["name"], [1, 1], tensor["datatype"]))
        inputs[-1].set_data_from_numpy(np.array([tensor["data"]], kinds[tensor["datatype"]]))
    result = client.infer("trams", inputs)
    assert result.as_numpy("probability").shape == (1, 1)
    assert result.as_numpy("probability")[0, 0] == pytest.approx(expected(**FRESH), abs=1e-6)
    assert result.as_numpy("missing")[0, 0] == b"[]"
    client.close()


def grpc_request(**changes: Any) -> Any:
    request = pb.ModelInferRequest(**({"model_name": "trams", "id": "by grpc"} | changes))
    for tensor in tensors([instance()]):
        given = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=[1, 1])
        name = {"INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}[tensor["datatype"]]
        values = [value.encode() if isinstance(value, str) else value for value in tensor["data"]]
        getattr(given.contents, name).extend(values)
    return request


def test_grpc_returns_the_same_and_has_a_code_for_each_error(service: Process) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(grpc_request())
        assert (answer.id, answer.model_version) == ("by grpc", "3")
        assert answer.outputs[0].contents.fp32_contents[0] == pytest.approx(expected(**FRESH), abs=1e-6)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert len(stub.ModelMetadata(pb.ModelMetadataRequest(name="trams")).inputs) == 6
        bad = grpc_request()
        bad.inputs[1].datatype = "FP32"
        for request, code in (
            (grpc_request(model_name="other"), grpc.StatusCode.NOT_FOUND),
            (grpc_request(model_version="4"), grpc.StatusCode.NOT_FOUND),
            (bad, grpc.StatusCode.INVALID_ARGUMENT),
            (pb.ModelInferRequest(model_name="trams"), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(request)
            assert refused.value.code() == code, refused.value
        with pytest.raises(grpc.RpcError) as refused:
            stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="trams"))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_large_body_is_rejected_with_a_message(service: Process) -> None:
    body = json.dumps({"instances": [instance(stop="x" * 10_000_000)]})
    headers = {"content-type": "application/json"}
    response = service.client.post(f"{service.address}/v1/models/trams:predict", content=body, headers=headers)
    assert (response.status_code, response.json()["kind"]) == (413, "too_large")
    chunks = (body[start : start + 65536].encode() for start in range(0, len(body), 65536))
    response = httpx.post(f"{service.address}/v1/models/trams:predict", content=chunks, headers=headers)
    assert response.status_code == 413
    assert service.predict(instance()).status_code == 200


def test_scores_come_from_the_cache_the_second_time(service: Process) -> None:
    row = instance(signal=-77.5)
    hits, misses = (service.metric(f"loopline_cache_{what}_total") for what in ("hits", "misses"))
    assert only(service.predict(row)) == only(service.predict(row))
    assert service.metric("loopline_cache_hits_total") - hits == 1
    assert service.metric("loopline_cache_misses_total") - misses == 1


def test_metrics_have_the_version_and_the_outcome(service: Process) -> None:
    before = service.metric("loopline_requests_total", protocol="v1", status="400")
    service.predict(instance(trip="seven"))
    assert service.metric("loopline_requests_total", protocol="v1", status="400", model_version="3") == before + 1
    service.predict(instance("M2"))
    assert service.metric("loopline_features_absent_total", feature="mood", reason="stale") >= 1
    assert service.metric("loopline_score_bucket", le="+Inf") >= 1
    assert service.metric("loopline_in_flight") == 0


def rows_of(log: Path) -> list[dict[str, Any]]:
    return list(prediction_log_files.read(str(log)).to_pylist())


def test_the_log_has_a_row_for_each_prediction_and_is_complete_after_shutdown(
    served: Served, onnx_predictor: Process, log: Path
) -> None:
    with transformer(served, onnx_predictor.port, log) as service:
        for request in range(50):
            service.predict(
                instance(trip=request), instance("M2", trip=request), headers={"x-request-id": f"r{request}"}
            )
        assert service.predict({"line": "M1"}).status_code == 400
        assert service.stop() == 0
        messages = [json.loads(line)["message"] for line in service.output.read_text().splitlines()]
    assert messages[-3:] == ["listening", "draining", "ended"], "no line for a request"
    rows = rows_of(log)
    assert sorted((row["request_id"], row["row"]) for row in rows) == sorted(
        (f"r{request}", row) for request in range(50) for row in (0, 1)
    )
    first = next(row for row in rows if (row["request_id"], row["row"]) == ("r7", 0))
    assert (first["line"], first["trip"], first["model_version"], first["failed"]) == ("M1", 7, "3", False)
    assert first["score"] == pytest.approx(expected(**FRESH), abs=1e-6)
    assert first["features_digest"]
    log_columns.expect(prediction_log_files.read(str(log)))


def test_a_dead_predictor_is_503_and_logged_with_the_version(served: Served, log: Path) -> None:
    port = free_port()
    with transformer(served, port, log, ready="/v2/health/live") as service:
        response = service.predict(instance())
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "cannot be reached" in response.json()["error"]
        assert service.get("/v2/health/ready").status_code == 503
        assert service.get("/v2/models/trams/ready").status_code == 503
        with predictor(served, port) as alive:
            service.wait()
            assert only(service.predict(instance()))["probability"] == pytest.approx(expected(**FRESH), abs=1e-6)
            alive.stop(signal.SIGKILL)
            assert service.predict(instance(signal=1.5)).status_code == 503
            assert service.get("/v2/health/ready").status_code == 503
            assert service.get("/v2/health/live").status_code == 200
        service.stop()
    assert [(row["failed"], row["model_version"], row["score"] is None) for row in rows_of(log)] == [
        (True, "3", True),
        (False, "3", False),
        (True, "3", True),
    ]


def test_a_hung_predictor_is_504_within_the_deadline(served: Served, onnx_predictor: Process, log: Path) -> None:
    with predictor(served) as hanging:
        more = ("--predictor_request_timeout_seconds", "0.5", "--cache_rows", "0")
        with transformer(served, hanging.port, log, *more) as service:
            assert service.predict(instance()).status_code == 200
            hanging.process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            response = service.predict(instance())
            assert (response.status_code, response.json()["kind"]) == (504, "predictor_timeout")
            assert 0.4 < time.monotonic() - started < 2
            assert service.get("/v2/health/ready").status_code == 503
            hanging.process.send_signal(signal.SIGCONT)
            service.wait()
            assert service.predict(instance()).status_code == 200


def test_overload_is_503_at_once_and_the_rest_is_served(served: Served, onnx_predictor: Process, log: Path) -> None:
    more = ("--max_in_flight", "1", "--max_waiting", "2", "--max_waiting_seconds", "60", "--cache_rows", "0")
    more += ("--predictor_request_timeout_seconds", "60")
    with predictor(served) as slow, transformer(served, slow.port, log, *more) as service:
        assert service.predict(instance()).status_code == 200
        slow.process.send_signal(signal.SIGSTOP)
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(asked(service))) for _ in range(8)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while len(statuses) < 5 and time.monotonic() < until:
            time.sleep(0.02)
        slow.process.send_signal(signal.SIGCONT)
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 3 + [503] * 5
        assert service.metric("loopline_errors_total", kind="overloaded") == 5


def asked(service: Process) -> int:
    response = httpx.post(f"{service.address}/v1/models/trams:predict", json={"instances": [instance()]}, timeout=30)
    if response.status_code == 503:
        assert response.headers["retry-after"] == "1"
    return response.status_code


def test_sigterm_fails_no_request(served: Served, onnx_predictor: Process, log: Path) -> None:
    """Clients that ask again where readiness has not said no yet, as a gateway does, see nothing but answers."""
    with transformer(served, onnx_predictor.port, log) as service:
        outcomes: list[Any] = []
        threads = [threading.Thread(target=ask_until_unready, args=(service, outcomes)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        while len(outcomes) < 40 and time.monotonic() < until:
            time.sleep(0.02)
        service.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert service.process.wait(60) == 0
    assert len(outcomes) > 40
    assert set(outcomes) == {200}
    assert len(rows_of(log)) == len(outcomes)


def ask_until_unready(service: Process, outcomes: list[Any]) -> None:
    with httpx.Client(verify=False, trust_env=False) as client:
        while True:
            try:
                response = client.post(
                    f"{service.address}/v1/models/trams:predict", json={"instances": [instance()]}, timeout=30
                )
                outcomes.append(response.status_code)
                if response.headers.get("connection") == "close":
                    return
            except httpx.HTTPError as error:
                outcomes.append(repr(error))
                return


def test_without_its_store_the_service_responds_without_stored_features(
    served: Served, onnx_predictor: Process, log: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "store"
    copy.mkdir()
    (copy / "registry.db").write_bytes((served.store / "registry.db").read_bytes())  # and no online.db
    with transformer(served, onnx_predictor.port, log, "--store", str(copy)) as service:
        prediction = only(service.predict(instance()))
        assert prediction["probability"] == pytest.approx(expected(signal=10.0, stop="Alex"), abs=1e-6)
        assert prediction["missing"] == ["delay", "mood", "years"]
        assert service.metric("loopline_online_store_failures_total") == 1
        service.predict(instance())
        assert service.output.read_text().count("the online store cannot be read") == 1, "said once"


def run(*arguments: str, served: Served) -> subprocess.CompletedProcess[str]:
    options = ["--usecase", served.package, "--model_version", "3", "--predictor_host", "127.0.0.1:1"]
    return subprocess.run(
        [sys.executable, "-m", "loopline.components.serving.service", *options, *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}{os.pathsep}{served.folder}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_cannot_be_served_is_one_line(served: Served, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = {
            f"cannot listen on 127.0.0.1:{port}: Address already in use": ["--store", str(served.store)],
            "add --store": [],
            "materialise first": ["--store", str(tmp_path)],
            "--model_name is other": ["--model_name", "other"],
            "is not a version number": ["--model_version", "../3"],
            "cannot be read or written": ["--store", str(served.store), "--log", "ftp://somewhere"],
        }
        for says, arguments in cases.items():
            result = run("--http_port", str(port), *arguments, served=served)
            assert result.returncode == 1
            last = json.loads(result.stderr.splitlines()[-1])
            assert says in last["message"]
            assert "traceback" not in last

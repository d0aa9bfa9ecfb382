"""The HTTP side in process: paths, methods, media types, what is counted and logged, and a mistake of our own."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from serving_case import INPUTS, NOON, Served, instance, tensors, write_package

from loopline.components.contract import usecase
from loopline.components.contract.examples import Feature
from loopline.components.contract.prediction_log_files import schema
from loopline.components.contract.signature import Signature
from loopline.components.serving.features.values import Key, StoredRow, View
from loopline.components.serving.predictor.score_cache import ScoreCache
from loopline.components.serving.protocol import body
from loopline.components.serving.protocol.errors import predictor_unavailable
from loopline.components.serving.protocol.fields import request_fields
from loopline.components.serving.runtime.application import Application
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.runtime.limits import ConcurrencyLimit
from loopline.components.serving.runtime.served_model import WARM_UP_ROWS, ServedModel
from loopline.components.serving.telemetry.metrics import Metrics

JSON = {"content-type": "application/json"}


class Store:
    """An online store that has one line, or raises."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def features(self) -> dict[str, str]:
        return {feature.name: feature.view for feature in INPUTS if feature.view}

    def views(self, features: Sequence[Feature]) -> list[View]:
        from datetime import timedelta

        keys = {"line_delay": ("line",), "driver": ("driver",)}
        names = dict.fromkeys(feature.view for feature in features if feature.view)
        return [
            View(name, keys[name], timedelta(0), tuple(f.name for f in features if f.view == name)) for name in names
        ]

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, StoredRow]]:
        if isinstance(self.error, TimeoutError):
            await asyncio.sleep(30)
        if self.error:
            raise self.error
        return [
            {key: StoredRow(NOON, dict.fromkeys(view.features, 1.0)) for key in of_view}
            for view, of_view in zip(views, keys, strict=True)
        ]


class Predictor:
    """A predictor that gives one half, or raises."""

    def __init__(self, inputs: Sequence[Feature] = INPUTS, output: str = "probability") -> None:
        kinds = {"numbers": "FP32", "categories": "BYTES"}
        self.held = Signature(tuple(inputs), output).columns
        self.described = {
            "inputs": [
                {"name": name, "datatype": kinds[name], "shape": [-1, len(held)]} for name, held in self.held.items()
            ],
            "outputs": [{"name": output}],
        }
        self.error: Exception | None = None
        self.asked: list[dict[str, Any]] = []

    async def metadata(self) -> dict[str, Any]:
        return self.described

    async def columns(self) -> dict[str, list[str]]:
        return self.held

    async def is_ready(self) -> bool:
        return self.error is None

    async def scores(self, tensors: dict[str, Any], rows: int, output: str) -> list[float]:
        self.asked.append({n: v for name in tensors for n, v in zip(self.held[name], tensors[name], strict=True)})
        if self.error:
            raise self.error
        return [0.5] * rows


def _described(tensor: str, **changes: Any) -> Predictor:
    """A predictor whose server describes a tensor otherwise."""
    predictor = Predictor()
    [described] = [given for given in predictor.described["inputs"] if given["name"] == tensor]
    described.update(changes)
    return predictor


class Log:
    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self.rows.append(row)


class Service:
    """The application over made-up neighbours."""

    def __init__(
        self, served: Served, *, predictor: Any = None, store: Any = None, max_body_bytes: int = 1 << 16
    ) -> None:
        spec = usecase.load(served.package).spec
        self.metrics = Metrics("trams", "3", probabilities=spec.task == "binary_classification")
        self.predictor = predictor or Predictor()
        self.log: Any = Log()
        self.model = ServedModel(spec, "3", self.predictor, store or Store(), ScoreCache(0, 1), self.metrics)
        self.handler = Handler(self.model, ConcurrencyLimit(8, 8, 1), self.metrics, self.log, access_log=False)
        self.application = Application(self.handler, self.metrics, max_body_bytes)

    def __call__(
        self, path: str, *parts: bytes, method: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Send a request; give status, headers and body."""
        return asyncio.run(self.send(method or ("POST" if parts else "GET"), path, list(parts), headers or {}))

    def predict(self, *instances: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        return self("/v1/models/trams:predict", orjson.dumps({"instances": instances}), headers=JSON)

    async def send(
        self, method: str, path: str, parts: list[bytes], headers: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        messages = [
            {"type": "http.request", "body": part, "more_body": place < len(parts)}
            for place, part in enumerate(parts, start=1)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.application({"type": "http", "method": method, "path": path, "headers": encoded}, receive, send)
        start, body = sent
        got = {name.decode(): value.decode() for name, value in start["headers"]}
        content = body["body"]
        return start["status"], got, orjson.loads(content) if got["content-type"] == "application/json" else content


@pytest.fixture
def service(served: Served) -> Service:
    return Service(served)


BODY = orjson.dumps({"instances": [instance()]})


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", {"status": "alive"}),
        ("/v1/models", {"models": ["trams"]}),
        ("/v1/models/trams", {"name": "trams", "ready": True}),
        ("/v2", {"name": "loopline", "version": "3", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["trams"]}),
        ("/v2/models/trams/ready", {"name": "trams", "ready": True}),
        ("/v2/models/trams/versions/3/ready", {"name": "trams", "ready": True}),
    ],
)
def test_gets(service: Service, path: str, wanted: Any) -> None:
    status, headers, body = service(path)
    assert (status, headers["content-type"], body) == (200, "application/json", wanted)


@pytest.mark.parametrize(
    ("path", "method", "says"),
    [
        ("/v1/models/other:predict", "POST", "this endpoint serves 'trams', version 3"),
        ("/v2/models/trams/versions/4/infer", "POST", "this endpoint serves 'trams', version 3"),
        ("/v2/models/other", "GET", "this endpoint serves 'trams'"),
        ("/v2/repository/models/trams/unload", "POST", "there is nothing at"),
        ("/docs", "GET", "see /openapi.json"),
        ("/" + "x" * 500, "GET", "there is nothing at"),
    ],
)
def test_an_unknown_path_is_404(service: Service, path: str, method: str, says: str) -> None:
    status, _, body = service(path, BODY, method=method, headers=JSON)
    assert (status, body["kind"]) == (404, "not_found")
    assert says in body["error"]


def test_another_method_is_405_with_the_allowed_one(service: Service) -> None:
    status, headers, body = service("/v1/models/trams:predict", method="GET")
    assert (status, headers["allow"], body["kind"]) == (405, "POST", "method_not_allowed")
    status, headers, _ = service("/v2/health/ready", b"", method="POST")
    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/octet-stream"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
    ],
)
def test_media_types(service: Service, headers: dict[str, str], wanted: int) -> None:
    status, _, body = service("/v1/models/trams:predict", BODY, headers=headers)
    assert status == wanted
    assert wanted == 200 or body["kind"] == "unsupported_media_type"


def test_a_body_in_pieces_is_put_together_and_bounded(served: Served) -> None:
    service = Service(served, max_body_bytes=1000)
    assert service("/v1/models/trams:predict", BODY[:20], BODY[20:], headers=JSON)[0] == 200
    assert service("/v1/models/trams:predict", b"x" * 600, b"x" * 600, headers=JSON)[0] == 413
    status, _, body = service("/v1/models/trams:predict", b"x", headers=JSON | {"content-length": "1001"})
    assert (status, body["error"]) == (413, "the body has more than 1,000 bytes; split the request")
    assert service("/v1/models/trams:predict", BODY, headers=JSON)[0] == 200


def test_a_body_that_stops_coming_is_408(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "CHUNK_SECONDS", 0.05)

    async def run() -> int:
        async def receive() -> Any:
            await asyncio.sleep(60)

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/models/trams:predict", "headers": []}
        await service.application(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(run()) == 408


def test_v2_sends_bytes_on_request(service: Service) -> None:
    body = {"inputs": tensors([instance()]), "parameters": {"binary_data_output": True}}
    status, headers, content = service("/v2/models/trams/infer", orjson.dumps(body), headers=JSON)
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    length = int(headers["inference-header-content-length"])
    assert orjson.loads(content[:length])["model_version"] == "3"
    assert content[length : length + 4] == b"\x00\x00\x00\x3f"


def test_draining_is_not_ready_but_responds_and_closes_connections(service: Service) -> None:
    service.application.draining = True
    status, headers, body = service("/v2/health/ready")
    assert (status, body["kind"]) == (503, "draining")
    assert service("/v2/health/live")[0] == 200
    status, headers, _ = service.predict(instance())
    assert (status, headers["connection"]) == (200, "close")


def test_a_server_error_is_logged_with_the_version_and_a_client_error_is_not(service: Service) -> None:
    assert service.predict(instance(trip="x"))[0] == 400
    assert service.log.rows == []
    service.predictor.error = predictor_unavailable("gone")
    status, headers, _ = service.predict(instance(trip=1), instance(trip=2))
    assert (status, headers["retry-after"]) == (503, "1")
    assert [(row[1], row[2], row[4], row[9]) for row in service.log.rows] == [
        ("3", True, None, 1),
        ("3", True, None, 2),
    ]
    text = service("/metrics")[2].decode()
    assert 'loopline_requests_total{model_name="trams",model_version="3",protocol="v1",status="503"} 1.0' in text
    assert 'loopline_errors_total{kind="invalid",model_name="trams",model_version="3"} 1.0' in text


def test_an_unexpected_error_is_500_with_a_message_and_no_traceback(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.predictor.error = ZeroDivisionError("secret")
    status, _, body = service.predict(instance())
    assert (status, body["kind"]) == (500, "internal")
    assert "secret" not in body["error"]
    assert caplog.records[-1].exc_info
    assert len(service.log.rows) == 1


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError()], ids=["dead", "hung"])
def test_without_its_store_it_responds_from_the_request_features(served: Served, error: Exception) -> None:
    service = Service(served, store=Store(error))
    status, _, body = service.predict(instance())
    assert status == 200
    assert body["predictions"][0]["missing"] == ["delay", "mood", "years"]
    sent = service.predictor.asked[0]
    assert (sent["signal"], sent["delay"], sent["mood"]) == ([10.0], [None], [None])


def test_without_its_store_a_model_of_stored_features_only_is_unavailable(served: Served) -> None:
    service = Service(served, predictor=Predictor(INPUTS[2:]), store=Store(OSError("gone")))
    status, headers, body = service.predict(instance())
    assert (status, body["kind"], headers["retry-after"]) == (503, "online_store_unavailable", "1")


@pytest.mark.parametrize(
    ("predictor", "says"),
    [
        (Predictor(output="score"), "has no output 'probability'"),
        (Predictor((*INPUTS, Feature("age", "number"))), "takes 'age', which is neither in usecase.yaml nor"),
        (_described("numbers", name="counts"), "takes 'counts' as FP32, but only numbers as FP32, categories as BYTES"),
        (_described("categories", datatype="INT64"), "takes 'categories' as INT64, but only"),
        (_described("numbers", shape=[-1, 2]), "takes 'numbers' of shape [-1, 2], but names 3 features for it"),
        (Predictor((Feature("stop", "number"),)), "takes 'stop' as a number, but in usecase.yaml it is a category"),
    ],
)
def test_a_model_of_another_use_case_is_never_ready(served: Served, predictor: Predictor, says: str) -> None:
    service = Service(served, predictor=predictor)
    assert service("/v2/health/ready")[0] == 503
    status, _, body = service.predict(instance())
    assert (status, body["kind"]) == (503, "incompatible_model")
    assert says in body["error"]


def test_before_it_is_ready_it_scores_sample_rows_uncounted(served: Served) -> None:
    service = Service(served)
    before = service("/metrics")
    assert service("/v2/health/ready")[0] == 200
    assert len(service.predictor.asked) == WARM_UP_ROWS
    assert service("/v2/health/ready")[0] == 200
    assert len(service.predictor.asked) == WARM_UP_ROWS, "once"
    assert not service.log.rows
    assert service("/metrics") == before
    service.predict(instance())
    assert service("/metrics") != before


def test_without_its_store_it_warms_up_and_without_its_predictor_it_does_not(served: Served) -> None:
    assert Service(served, store=Store(OSError("gone")))("/v2/health/ready")[0] == 200
    service = Service(served)
    service.predictor.error = predictor_unavailable("gone")
    assert service("/v2/health/ready")[0] == 503
    service.predictor.error = None
    assert service("/v2/health/ready")[0] == 200
    assert len(service.predictor.asked) == 1 + WARM_UP_ROWS


def test_a_model_that_takes_less_is_served(served: Served) -> None:
    service = Service(served, predictor=Predictor(INPUTS[:3]))
    assert service.predict(instance())[0] == 200
    assert list(service.predictor.asked[0]) == ["signal", "delay", "stop"]


def test_the_access_log_is_off_by_default(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    import json

    from loopline.components.serving.telemetry.structured_log import JsonLines

    service = Service(served)
    with caplog.at_level("INFO", "loopline.components.serving"):
        service.predict(instance())
        assert not caplog.records
        service.handler._access_log = True
        service.predict(instance())
        service.predict(instance(trip="x"))
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [(line["message"], line["protocol"], line["status"], line["kind"]) for line in lines] == [
        ("request", "v1", 200, ""),
        ("request", "v1", 400, "invalid"),
    ]


def test_a_regression_returns_predictions(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = write_package(tmp_path, f"tram_minutes_{tmp_path.name}", "prediction")
    service = Service(replace(served, package=package), predictor=Predictor(output="prediction"))
    assert service.predict(instance())[2]["predictions"] == [{"prediction": 0.5, "missing": [], "stale": []}]
    document = service("/openapi.json")[2]
    answer = document["paths"]["/v1/models/trams:predict"]["post"]["responses"]["200"]
    row = answer["content"]["application/json"]["schema"]["properties"]["predictions"]["items"]
    assert list(row["properties"]) == ["prediction", "missing", "stale"]
    assert "loopline_score" not in service("/metrics")[2].decode(), "a distribution is only counted of probabilities"


def test_the_fields_of_the_use_case_temperature_are_station_time_and_hour() -> None:
    spec = usecase.load("tests.usecases.temperature").spec
    assert list(request_fields(spec, ["station"])) == ["station", "read_at", "hour_of_day"]
    assert schema(spec).names[-2:] == ["station", "read_at"]

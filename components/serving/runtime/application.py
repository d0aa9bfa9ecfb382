"""The HTTP side: paths, methods, media types, sizes and status codes.

A plain ASGI application: KServe's own answers bad input with 500 and costs as much per request as all the rest here.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from loopline.components.serving.protocol import openapi, v1, v2
from loopline.components.serving.protocol.body import (
    BINARY,
    JSON,
    JSON_LENGTH,
    Disconnected,
    Receive,
    expect_media_type,
    read_body,
)
from loopline.components.serving.protocol.errors import AGAIN, RefusedError, unknown
from loopline.components.serving.protocol.request import Question
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.telemetry.metrics import Metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Content = tuple[bytes, dict[str, str]]
Get = Callable[[], Awaitable[Content]]
Post = Callable[[bytes, Mapping[str, str], float], Awaitable[Content]]


class Application:
    """Answers HTTP requests.

    Args:
        handler: what answers questions.
        metrics: shown under /metrics.
        most_bytes: of a body.

    Attributes:
        draining: set when the process is about to end: no longer ready, and connections are given up one by one.
    """

    def __init__(self, handler: Handler, metrics: Metrics, most_bytes: int) -> None:
        self.draining = False
        self._handler = handler
        self._model = handler.model
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._gets = self._get_paths()
        self._posts = self._post_paths()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI wants it."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body, more = await self._respond(scope["method"], scope["path"], headers, receive, started)
            status: int = HTTPStatus.OK
        except RefusedError as refusal:
            status, (body, more) = refusal.status, _refused(refusal)
        except Disconnected:
            return
        if self.draining:
            more["connection"] = "close"
        more["content-length"] = str(len(body))
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in more.items()]
        await send({"type": "http.response.start", "status": int(status), "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    async def _respond(
        self, method: str, path: str, headers: Mapping[str, str], receive: Receive, started: float
    ) -> Content:
        if path in self._posts:
            protocol, post = self._posts[path]
            try:
                if method != "POST":
                    raise _not_allowed(method, "POST")
                expect_media_type(headers)
                body = await read_body(headers, receive, self._most_bytes)
            except RefusedError as refusal:
                self._handler.refused(protocol, refusal, started)
                raise
            return await post(body, headers, started)
        if path in self._gets:
            if method != "GET":
                raise _not_allowed(method, "GET")
            return await self._gets[path]()
        raise self._unknown(path)

    def _get_paths(self) -> dict[str, Get]:
        name, version = self._model.name, self._model.version
        return {
            "/": _always({"status": "alive"}),
            "/openapi.json": _always(openapi.document(self._model)),
            "/metrics": self._show_metrics,
            "/v1/models": _always({"models": [name]}),
            f"/v1/models/{name}": self._v1_ready,
            "/v2": _always({"name": "loopline", "version": version, "extensions": ["binary_tensor_data"]}),
            "/v2/health/live": _always({"live": True}),
            "/v2/health/ready": self._ready,
            "/v2/models": _always({"models": [name]}),
            f"/v2/models/{name}": _always(openapi.metadata(self._model)),
            f"/v2/models/{name}/ready": self._v2_ready,
            f"/v2/models/{name}/versions/{version}": _always(openapi.metadata(self._model)),
            f"/v2/models/{name}/versions/{version}/ready": self._v2_ready,
        }

    def _post_paths(self) -> dict[str, tuple[str, Post]]:
        name, version = self._model.name, self._model.version
        return {
            f"/v1/models/{name}:predict": ("v1", self._predict),
            f"/v2/models/{name}/infer": ("v2", self._infer),
            f"/v2/models/{name}/versions/{version}/infer": ("v2", self._infer),
        }

    async def _predict(self, body: bytes, headers: Mapping[str, str], started: float) -> Content:
        fields, request = self._model.fields, headers.get("x-request-id")
        answer = await self._handler.handle("v1", lambda: v1.read(body, fields, request), started)
        return v1.write(answer), {"content-type": JSON}

    async def _infer(self, body: bytes, headers: Mapping[str, str], started: float) -> Content:
        binary: Mapping[str, bool] = {}

        def read() -> Question:
            nonlocal binary
            length, request_id = headers.get(JSON_LENGTH), headers.get("x-request-id")
            request = v2.read(body, length, self._model.fields, self._model.output, request_id)
            binary = request.binary
            return request.question

        answer = await self._handler.handle("v2", read, started)
        content, json_length = v2.write(answer, binary)
        if json_length is None:
            return content, {"content-type": JSON}
        return content, {"content-type": BINARY, JSON_LENGTH: str(json_length)}

    async def _show_metrics(self) -> Content:
        return self._metrics.text(), {"content-type": TEXT}

    async def _ready(self) -> Content:
        return _json({"ready": await self._expect_ready()})

    async def _v2_ready(self) -> Content:
        return _json({"name": self._model.name, "ready": await self._expect_ready()})

    async def _v1_ready(self) -> Content:
        return await self._v2_ready()

    async def _expect_ready(self) -> bool:
        if self.draining:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "the service is about to end", AGAIN)
        if not await self._model.is_ready():
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "the predictor is not ready", AGAIN)
        return True

    def _unknown(self, path: str) -> RefusedError:
        name, version = self._model.name, self._model.version
        if path.startswith(("/v1/models/", "/v2/models/")):
            return unknown(f"there is nothing at {path[:80]}: served is the model '{name}', version {version}")
        return unknown(f"there is nothing at {path[:80]}; see /openapi.json")


def _not_allowed(method: str, allowed: str) -> RefusedError:
    message = f"{method[:20]} is not possible here; use {allowed}"
    return RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "method", message, {"allow": allowed})


def _refused(refusal: RefusedError) -> Content:
    return orjson.dumps({"error": str(refusal), "kind": refusal.kind}), {"content-type": JSON, **refusal.headers}


def _json(value: Any) -> Content:
    return orjson.dumps(value), {"content-type": JSON}


def _always(value: Any) -> Get:
    content = orjson.dumps(value)

    async def get() -> Content:
        return content, {"content-type": JSON}

    return get

"""The HTTP server's ASGI application: paths, methods, media types, sizes and status codes."""

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
    ClientDisconnected,
    Receive,
    check_media_type,
    read_body,
)
from loopline.components.serving.protocol.errors import InferenceError, draining, not_found, not_ready
from loopline.components.serving.protocol.request import InferenceRequest
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.telemetry.metrics import Metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Content = tuple[bytes, dict[str, str]]
Get = Callable[[], Awaitable[Content]]
Post = Callable[[bytes, Mapping[str, str], float], Awaitable[Content]]


class Application:
    """Responds to HTTP requests.

    Args:
        handler: handles inference requests.
        metrics: shown under /metrics.
        max_body_bytes: size limit of a body.

    Attributes:
        draining: set when the process is about to shut down: no longer ready, and each response closes its connection.
    """

    def __init__(self, handler: Handler, metrics: Metrics, max_body_bytes: int) -> None:
        self.draining = False
        self._handler = handler
        self._model = handler.model.metadata
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._get_routes = self._gets()
        self._post_routes = self._posts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, as in the ASGI specification."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body, more_headers = await self._respond(scope["method"], scope["path"], headers, receive, started)
            status: int = HTTPStatus.OK
        except InferenceError as error:
            status, (body, more_headers) = error.status, _error(error)
        except ClientDisconnected:
            return
        if self.draining:
            more_headers["connection"] = "close"
        more_headers["content-length"] = str(len(body))
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in more_headers.items()]
        await send({"type": "http.response.start", "status": int(status), "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    async def _respond(
        self, method: str, path: str, headers: Mapping[str, str], receive: Receive, started: float
    ) -> Content:
        if path in self._post_routes:
            protocol, post = self._post_routes[path]
            try:
                if method != "POST":
                    raise _not_allowed(method, "POST")
                check_media_type(headers)
                body = await read_body(headers, receive, self._max_body_bytes)
            except InferenceError as error:
                self._handler.record_error(protocol, error, started)
                raise
            return await post(body, headers, started)
        if path in self._get_routes:
            if method != "GET":
                raise _not_allowed(method, "GET")
            return await self._get_routes[path]()
        raise self._not_found(path)

    def _gets(self) -> dict[str, Get]:
        name, version = self._model.name, self._model.version
        metadata = _always(self._model.to_v2())
        return {
            "/": _always({"status": "alive"}),
            "/openapi.json": _always(openapi.document(self._model)),
            "/metrics": self._show_metrics,
            "/v1/models": _always({"models": [name]}),
            f"/v1/models/{name}": self._model_ready,
            "/v2": _always({"name": "loopline", "version": version, "extensions": ["binary_tensor_data"]}),
            "/v2/health/live": _always({"live": True}),
            "/v2/health/ready": self._server_ready,
            "/v2/models": _always({"models": [name]}),
            f"/v2/models/{name}": metadata,
            f"/v2/models/{name}/ready": self._model_ready,
            f"/v2/models/{name}/versions/{version}": metadata,
            f"/v2/models/{name}/versions/{version}/ready": self._model_ready,
        }

    def _posts(self) -> dict[str, tuple[str, Post]]:
        name, version = self._model.name, self._model.version
        return {
            f"/v1/models/{name}:predict": ("v1", self._predict),
            f"/v2/models/{name}/infer": ("v2", self._infer),
            f"/v2/models/{name}/versions/{version}/infer": ("v2", self._infer),
        }

    async def _predict(self, body: bytes, headers: Mapping[str, str], started: float) -> Content:
        fields, request_id = self._model.fields, headers.get("x-request-id")
        response = await self._handler.handle("v1", lambda: v1.read(body, fields, request_id), started)
        return v1.write(response), {"content-type": JSON}

    async def _infer(self, body: bytes, headers: Mapping[str, str], started: float) -> Content:
        outputs: Mapping[str, bool] = {}

        def read() -> InferenceRequest:
            nonlocal outputs
            length, request_id = headers.get(JSON_LENGTH), headers.get("x-request-id")
            parsed = v2.read(body, length, self._model.fields, self._model.output, request_id)
            outputs = parsed.outputs
            return parsed.request

        response = await self._handler.handle("v2", read, started)
        content, json_length = v2.write(response, outputs)
        if json_length is None:
            return content, {"content-type": JSON}
        return content, {"content-type": BINARY, JSON_LENGTH: str(json_length)}

    async def _show_metrics(self) -> Content:
        return self._metrics.text(), {"content-type": TEXT}

    async def _server_ready(self) -> Content:
        return _json({"ready": await self._check_ready()})

    async def _model_ready(self) -> Content:
        return _json({"name": self._model.name, "ready": await self._check_ready()})

    async def _check_ready(self) -> bool:
        if self.draining:
            raise draining()
        if not await self._handler.model.is_ready():
            raise not_ready("the predictor is not ready")
        return True

    def _not_found(self, path: str) -> InferenceError:
        name, version = self._model.name, self._model.version
        if path.startswith(("/v1/models/", "/v2/models/")):
            return not_found(f"there is nothing at {path[:80]}: this endpoint serves '{name}', version {version}")
        return not_found(f"there is nothing at {path[:80]}; see /openapi.json")


def _not_allowed(method: str, allowed: str) -> InferenceError:
    message = f"{method[:20]} is not allowed here; use {allowed}"
    return InferenceError(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", message, {"allow": allowed})


def _error(error: InferenceError) -> Content:
    return orjson.dumps({"error": str(error), "kind": error.kind}), {"content-type": JSON, **error.headers}


def _json(value: Any) -> Content:
    return orjson.dumps(value), {"content-type": JSON}


def _always(value: Any) -> Get:
    content = orjson.dumps(value)

    async def get() -> Content:
        return content, {"content-type": JSON}

    return get

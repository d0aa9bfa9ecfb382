"""An HTTP server on loopback for fakes of other people's APIs, and what fakes of the Kubernetes API share."""

import contextlib
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        url: path and query. ``query``: the values of each parameter.
        headers: by name, whatever the case.
        body: read from JSON; None if there is none. ``raw``: its bytes.
    """

    method: str
    url: str
    headers: Any
    raw: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.url).query)

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


class HangUp(Exception):  # noqa: N818 - no error, but what the server does
    """Close the connection without a response."""


class LoopbackServer:
    """A server from its creation until ``close``. Subclasses answer."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: Request) -> tuple[Any, ...]:
        """Status, content and, if need be, headers of the response; text is sent as it is, anything else as JSON."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handler(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, content, *headers = server.answer(Request(self.command, self.path, self.headers, raw))
            except HangUp:
                self.close_connection = True
                return
            text = isinstance(content, str)
            payload = content.encode() if text else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if text else "application/json")
            self.send_header("Content-Length", str(len(payload)))
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the client has timed out
                self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def kubeconfig(server: LoopbackServer, path: Path, namespace: str = "loopline") -> Path:
    """Write a kubeconfig that leads to a fake Kubernetes API."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": server.address}}],
        "users": [{"name": "fake", "user": {"token": "a-token"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def status(code: int, message: str, name: str = "", cause: str = "") -> dict[str, Any]:
    """The Status object of an error response of the Kubernetes API.

    Args:
        code: the HTTP status. ``message``: for people.
        name: of the object that the request was about.
        cause: why a field is refused, such as FieldManagerConflict.
    """
    details = {**({"name": name} if name else {}), **({"causes": [{"reason": cause}]} if cause else {})}
    failure = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "code": code}
    return {**failure, "details": details} if details else failure

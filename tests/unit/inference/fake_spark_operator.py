"""A small Kubernetes API over HTTP: SparkApplications, and refusals worded as the real ones."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "/apis/sparkoperator.k8s.io/v1beta2/namespaces/loopline/sparkapplications"


class FakeSparkOperator:
    """The SparkApplications of one namespace, and a server in front of them.

    Attributes:
        objects: by name.
        created: every one that was created, in order.
        refusals: method -> status and message of its next answers, each given once.
        operator: called with each look at an application that runs; changes it as an operator would.
    """

    def __init__(self, *templates: dict[str, Any]) -> None:
        self.objects = {template["metadata"]["name"]: template for template in templates}
        self.created: list[dict[str, Any]] = []
        self.refusals: dict[str, list[tuple[int, str]]] = {}
        self.operator: Callable[[dict[str, Any]], None] = lambda found: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path) -> Path:
        named = {"cluster": "fake", "user": "fake", "namespace": "loopline"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "fake", "user": {"token": "a-token"}}],
            "contexts": [{"name": "fake", "context": named}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if self.refusals.get(method):
            status, message = self.refusals[method].pop(0)
            return status, {"kind": "Status", "message": message}
        folder, _, name = path.partition(f"{FOLDER}")
        name = name.strip("/")
        if folder:
            return 404, {}
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.objects:
                return 409, {"kind": "Status", "message": "already exists"}
            self.objects[name] = body
            self.created.append(body)
            return 201, body
        if name not in self.objects:
            return 404, {"kind": "Status", "message": "not found", "details": {"name": name}}
        if method == "DELETE":
            return 200, self.objects.pop(name)
        found = self.objects[name]
        state = found.get("status", {}).get("applicationState", {}).get("state")
        if not found["spec"]["suspend"] and state not in {"COMPLETED", "FAILED"}:
            self.operator(found)
        return 200, found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                status, answer = fake.answer(self.command, self.path.partition("?")[0], body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names are http.server's

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        return Handler

"""A fake of any HTTP interface that is only read: answers by path, from a loopback port."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = Any  # what becomes JSON; or (status, that)


@dataclass
class FakeHttp:
    """What is answered at each path; 404 elsewhere.

    Attributes:
        answers: by path with its query.
        refuse: given the headers of a request, a status that is answered instead; 0 for none.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    refuse: Callable[[Any], int] = lambda headers: 0
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.requests.append(self.path)
                found = fake.answers.get(self.path, (404, {"message": "not found"}))
                status, content = found if isinstance(found, tuple) else (200, found)
                status = fake.refuse(self.headers) or status
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

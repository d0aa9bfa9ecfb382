"""The traffic of the demo: in order, counted, and over at the end of the block."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.demo import traffic
from loopline.demo.traffic import DemoTraffic, events

CASE = usecase.load("tests.usecases.temperature")


class Endpoint(BaseHTTPRequestHandler):
    """Answers what an endpoint does, and fails each tenth question."""

    asked: ClassVar = []

    def do_GET(self):
        self.answer(200, {"inputs": [{"name": "station"}, {"name": "read_at"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body["instances"][0]["read_at"])
        failed = len(self.asked) % 10 == 0
        self.answer(500 if failed else 200, {"model_version": "1"})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_): ...


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(Endpoint, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_events_are_asked_about_once_and_counted(port, monkeypatch):
    monkeypatch.setattr(traffic, "RATE", None)
    monkeypatch.setattr(traffic, "CONNECTIONS", 1)
    with DemoTraffic(CASE, port) as asked:
        while asked.running:
            time.sleep(0.01)
    assert (asked.answered, asked.failed) == (713, 79)
    assert len(Endpoint.asked) == events(CASE)
    assert Endpoint.asked == sorted(Endpoint.asked)


def test_it_ends_when_it_is_left(port):
    with DemoTraffic(CASE, port) as asked:
        while not asked.answered:
            time.sleep(0.01)
    assert not asked.running
    assert asked.answered + asked.failed == len(Endpoint.asked) < events(CASE)


def test_an_endpoint_that_does_not_answer():
    with pytest.raises(LooplineError, match="does not return the metadata of temperature"):
        DemoTraffic(CASE, 1)

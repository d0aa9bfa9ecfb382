"""Calling a predictor: what it may do wrong, each with a defined refusal; and connections that are kept."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from loopline.components.serving.predictor.client import Predictor
from loopline.components.serving.protocol.errors import InferenceError
from loopline.components.serving.protocol.tensor import from_bytes

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TENSORS = {"numbers": [[1.0, None], [3.0, 4.0]], "categories": [["Süd", None], ["a", "b"]]}


def response(body: bytes, status: int = 200, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def scores(*values: Any, name: str = "probability") -> bytes:
    tensor = {"name": name, "datatype": "FP32", "shape": [len(values), 1], "data": list(values)}
    return response(orjson.dumps({"outputs": [tensor]}))


class Scripted:
    """A server that answers each request with the next of some bytes, or does with the connection what it is told."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers and (request := await read_request(reader)):
            self.requests.append(request)
            answer = self.answers.pop(0)
            if answer == "hang":
                await asyncio.sleep(30)
            if answer == "close":
                break
            for part in answer if isinstance(answer, list) else [answer]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def ask(scripted: Scripted, times: int = 1, seconds: float = 5) -> list[Any]:
    """Ask so many times, one after the other; give scores or refusals."""

    async def run() -> list[Any]:
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)
        predictor = Predictor(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "trams", seconds)
        outcomes: list[Any] = []
        for _ in range(times):
            try:
                outcomes.append(await predictor.scores(TENSORS, 2, "probability"))
            except InferenceError as refused:
                outcomes.append((int(refused.status), refused.kind, str(refused)))
            await asyncio.sleep(0.02)
        predictor.close()
        server.close()
        return outcomes

    return asyncio.run(run())


def test_tensors_go_as_bytes_and_scores_come_back() -> None:
    scripted = Scripted(scores(0.25, 0.5))
    assert ask(scripted) == [[0.25, 0.5]]
    head, _, body = scripted.requests[0].partition(b"\r\n\r\n")
    assert b"POST /v2/models/trams/infer HTTP/1.1" in head
    length = int(head.lower().partition(b"inference-header-content-length: ")[2].split(b"\r\n")[0])
    described = orjson.loads(body[:length])["inputs"]
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in described] == [
        ("numbers", "FP32", [2, 2]),
        ("categories", "BYTES", [2, 2]),
    ]
    assert [tensor["parameters"]["binary_data_size"] for tensor in described] == [16, 22]
    numbers, strings = body[length : length + 16], body[length + 16 :]
    assert struct.unpack("<4f", numbers)[:2] == (1, 3), "row by row"
    assert numbers[8:12] == b"\x00\x00\xc0\x7f", "a missing number is NaN"
    assert from_bytes("categories", "BYTES", strings, 4) == ["Süd", "a", "", "b"], "a missing category is empty"


def test_a_connection_is_kept() -> None:
    scripted = Scripted(*[scores(0.1, 0.2)] * 5)
    assert ask(scripted, 5) == [[0.1, 0.2]] * 5
    assert scripted.connections == 1


def test_an_idle_connection_that_was_closed_costs_no_request() -> None:
    scripted = Scripted(scores(0.1, 0.2), "close", scores(0.3, 0.4))
    assert ask(scripted, 2) == [[0.1, 0.2], [0.3, 0.4]]
    assert scripted.connections == 2
    gone = Scripted(response(scores(0.1, 0.2).partition(b"\r\n\r\n")[2], headers="Connection: close\r\n"), scores(1, 1))
    assert ask(gone, 2) == [[0.1, 0.2], [1, 1]]


def test_a_response_in_pieces_is_put_together() -> None:
    whole = scores(0.1, 0.2)
    assert ask(Scripted([whole[:10], whole[10:60], whole[60:]])) == [[0.1, 0.2]]
    body = whole.partition(b"\r\n\r\n")[2]
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert ask(Scripted(chunked)) == [[0.1, 0.2]]


@pytest.mark.parametrize(
    ("answer", "status", "kind", "says"),
    [
        ("hang", 504, "predictor_timeout", "did not respond within 0.2 s"),
        ("close", 503, "predictor_unavailable", "the connection was lost"),
        (b"SSH-2.0\r\n", 503, "predictor_unavailable", "is not valid HTTP"),
        (response(b"no such model", 404), 503, "predictor_unavailable", "responded 404: no such model"),
        (response(b"busy", 503), 503, "predictor_unavailable", "responded 503: busy"),
        (response(b"bad shape", 400), 502, "predictor_error", "responded 400: bad shape"),
        (response(b"boom", 500), 502, "predictor_error", "responded 500: boom"),
        (response(b"{"), 502, "predictor_error", "for each of 2 rows"),
        (response(b"[]"), 502, "predictor_error", "for each of 2 rows"),
        (response(b'{"outputs": 5}'), 502, "predictor_error", "for each of 2 rows"),
        (response(b'{"outputs": [5]}'), 502, "predictor_error", "for each of 2 rows"),
        (response(b'{"outputs": [{"name": "probability"}]}'), 502, "predictor_error", "for each of 2 rows"),
        (response(b"{}", headers="Inference-Header-Content-Length: x\r\n"), 502, "predictor_error", "each of 2 rows"),
        (scores(0.1), 502, "predictor_error", "for each of 2 rows"),
        (scores(0.1, 0.2, name="other"), 502, "predictor_error", "returned no 'probability'"),
        (scores(0.1, None), 502, "predictor_error", "each of 2 rows"),
        (scores(0.1, "x"), 502, "predictor_error", "each of 2 rows"),
        (response(b'{"outputs":[{"name":"probability","data":[1e999,1]}]}'), 502, "predictor_error", "2 rows"),
    ],
)
def test_each_predictor_failure_has_its_error(answer: Any, status: int, kind: str, says: str) -> None:
    ((found_status, found_kind, message),) = ask(Scripted(answer), seconds=0.2 if answer == "hang" else 5)
    assert (found_status, found_kind) == (status, kind)
    assert says in message


def test_a_response_after_the_deadline_is_not_read_as_the_next_one() -> None:
    scripted = Scripted("hang", scores(0.3, 0.4))
    first, second = ask(scripted, 2, seconds=0.2)
    assert first[0] == 504
    assert second == [0.3, 0.4]
    assert scripted.connections == 2


def test_a_predictor_that_does_not_listen_is_unavailable() -> None:
    async def run() -> bool:
        predictor = Predictor("127.0.0.1:1", "trams", 1)
        with pytest.raises(InferenceError, match=r"127\.0\.0\.1:1 cannot be reached") as refused:
            await predictor.scores(TENSORS, 2, "probability")
        assert refused.value.headers == {"retry-after": "1"}
        return await predictor.is_ready()

    assert not asyncio.run(run())


def test_scores_that_are_not_finite_are_an_error() -> None:
    body = orjson.dumps({"outputs": [{"name": "probability", "datatype": "FP32"}]})
    nan = b"\x00\x00\xc0\x7f\x00\x00\x80\x3f"
    answer = response(body + nan, headers=f"Inference-Header-Content-Length: {len(body)}\r\n")
    ((status, _, message),) = ask(Scripted(answer))
    assert status == 502
    assert "not a finite number" in message


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"parameters": {}},
        {"parameters": {"columns": {"string_value": "{}"}}},
        {"parameters": {"columns": "numbers"}},
    ],
)
def test_a_configuration_without_the_features_of_its_tensors_is_an_error(told: dict[str, Any]) -> None:
    async def run() -> None:
        server = await asyncio.start_server(Scripted(response(orjson.dumps(told))), "127.0.0.1", 0)
        predictor = Predictor(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "trams", 5)
        with pytest.raises(InferenceError, match="does not name the features of its tensors: package the model again"):
            await predictor.columns()
        predictor.close()
        server.close()

    asyncio.run(run())


def test_the_features_of_the_tensors_are_read_from_the_configuration() -> None:
    columns = {"numbers": ["signal"], "categories": ["stop"]}
    told = {"parameters": {"columns": {"string_value": orjson.dumps(columns).decode()}}}

    async def run() -> None:
        scripted = Scripted(response(orjson.dumps(told)))
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)
        predictor = Predictor(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "trams", 5)
        assert await predictor.columns() == columns
        assert scripted.requests[0].startswith(b"GET /v2/models/trams/config ")
        predictor.close()
        server.close()

    asyncio.run(run())

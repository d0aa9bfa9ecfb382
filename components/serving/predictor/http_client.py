"""A minimal HTTP/1.1 client with a connection pool, for calling a predictor.

A general client costs more than the predictor it calls: aiohttp takes 0.2 ms of CPU time per request, this a sixth of
it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httptools


class ConnectionLostError(ConnectionError):
    """The connection ended before the response did."""


@dataclass
class Response:
    """A response.

    Attributes:
        status: HTTP status; 0 until it has arrived.
        headers: by name in lower case.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class ConnectionPool:
    """Keep-alive connections to one address, opened as needed.

    Args:
        host: name or IP address. ``port``: TCP port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Send a request and wait for its response.

        An idle connection may have been closed by the server; the request is then sent again over a new one, so it has
        to be idempotent.

        Raises:
            OSError: the connection is refused, or was lost before the response arrived.
        """
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        message = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while self._idle:
            idle = self._idle.pop()
            if idle.is_open:
                try:
                    return await self._exchange(idle, message)
                except ConnectionLostError:
                    if idle.received:
                        raise
                    break
        return await self._exchange(await self._connect(), message)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(loop), self._host, self._port)
        return connection

    async def _exchange(self, connection: "_Connection", message: bytes) -> Response:
        try:
            response = await connection.exchange(message)
        except BaseException:  # a timeout too: the response may still arrive, and must not be read as the next one
            connection.abort()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return response


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[Response] | None = None
        self._response = Response()
        self._parts: list[bytes] = []
        self.received = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, message: bytes) -> Response:
        self._pending = self._loop.create_future()
        self._response, self._parts, self.received = Response(), [], False
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLostError("the connection is closed")
        self._transport.write(message)
        return await self._pending

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._pending is None or self._pending.done():  # not a response to any request
            self.abort()
            return
        self.received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the response is not valid HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc or 'closed by the server'}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._response.status = self._parser.get_status_code()
        self._response.body = b"".join(self._parts)
        if not self._parser.should_keep_alive() and self._transport:
            self._transport.close()
        if self._pending and not self._pending.done():
            self._pending.set_result(self._response)

    def _fail(self, reason: str) -> None:
        if self._pending and not self._pending.done():
            self._pending.set_exception(ConnectionLostError(reason))
        self.abort()

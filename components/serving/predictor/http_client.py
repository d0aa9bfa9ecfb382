"""HTTP/1.1 to one address over connections that are kept: as little of it as calling a predictor takes.

A general client costs more time than the predictor it calls: aiohttp a fifth of a millisecond of the processor for
each request, this a sixth of that.
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
        status: of HTTP; 0 until it has come.
        headers: by name in lower case.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Pool:
    """Connections to one address, made when they are needed and used again.

    Args:
        host: name or address. ``port``: likewise.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Send a request and wait for its response.

        A connection that had been kept may have been closed meanwhile; the request is then sent again over a new one,
        so it has to be one that does no harm twice.

        Raises:
            OSError: nobody listens, or the connection was lost before the response had come.
        """
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        message = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while self._idle:
            kept = self._idle.pop()
            if kept.is_open:
                try:
                    return await self._exchange(kept, message)
                except ConnectionLostError:
                    if kept.received:
                        raise
                    break
        return await self._exchange(await self._connect(), message)

    def close(self) -> None:
        """Close the connections that wait."""
        while self._idle:
            self._idle.pop().abandon()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(loop), self._host, self._port)
        return connection

    async def _exchange(self, connection: "_Connection", message: bytes) -> Response:
        try:
            response = await connection.exchange(message)
        except BaseException:  # a deadline too: the response may still come, and is nobody's
            connection.abandon()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return response


class _Connection(asyncio.Protocol):
    """One connection; it holds one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Response] | None = None
        self._response = Response()
        self._parts: list[bytes] = []
        self.received = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, message: bytes) -> Response:
        self._waiting = self._loop.create_future()
        self._response, self._parts, self.received = Response(), [], False
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLostError("the connection is closed")
        self._transport.write(message)
        return await self._waiting

    def abandon(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():  # nobody asked
            self.abandon()
            return
        self.received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the response is no HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc or 'closed by the other side'}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._response.status = self._parser.get_status_code()
        self._response.body = b"".join(self._parts)
        if not self._parser.should_keep_alive() and self._transport:
            self._transport.close()
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(self._response)

    def _fail(self, reason: str) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(ConnectionLostError(reason))
        self.abandon()

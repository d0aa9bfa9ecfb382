"""The body of an HTTP request: of which media type it may be, how large, and how long it may take."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from loopline.components.serving.protocol.errors import RefusedError, too_large

JSON = "application/json"
BINARY = "application/octet-stream"
# Says how much of a body is JSON, where tensors follow as bytes.
JSON_LENGTH = "inference-header-content-length"
# Between two pieces of a body.
SECONDS = 10.0
# A body up to so many times the limit is read to its end.
PATIENCE = 16

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):  # noqa: N818 - no error: nobody is there to be told one
    """The client went away."""


def expect_media_type(headers: Mapping[str, str]) -> None:
    """Take JSON, and bytes where a header says how much of them is JSON.

    Raises:
        RefusedError: the body says that it is something else.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    taken = {"", JSON, BINARY} if JSON_LENGTH in headers else {"", JSON}
    encoding = headers.get("content-encoding", "identity")
    if media not in taken:
        raise _unsupported(f"the body says it is {media[:60]}; send JSON with Content-Type: {JSON}")
    if encoding.lower() != "identity":
        raise _unsupported(f"the body is encoded as {encoding[:60]}; send it as it is")


async def read_body(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    """The body of a request.

    Args:
        headers: of the request.
        receive: ASGI's, which gives it piece by piece.
        most: bytes that are taken.

    Raises:
        RefusedError: it is too large, or stops coming.
        Disconnected: nobody waits for an answer any more.
    """
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        if int(length) <= PATIENCE * most:
            await _skip(receive)
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await _next(receive)
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _skip(receive: Receive) -> None:
    """Read on, so that a client that only listens once it has sent everything hears why it was refused."""
    while (await _next(receive)).get("more_body", False):
        pass


async def _next(receive: Receive) -> MutableMapping[str, Any]:
    try:
        async with asyncio.timeout(SECONDS):
            message = await receive()
    except TimeoutError:
        status = HTTPStatus.REQUEST_TIMEOUT
        raise RefusedError(status, "slow_body", f"nothing came of the body for {SECONDS:g} s") from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message


def _too_large(most: int) -> RefusedError:
    return too_large(f"the body has more than {most:,} bytes; send the rows in parts")


def _unsupported(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type", message)

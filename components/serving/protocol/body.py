"""The body of an HTTP request: accepted media types, size limit, and how long it may take to arrive."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from loopline.components.serving.protocol.errors import InferenceError, too_large

JSON = "application/json"
BINARY = "application/octet-stream"
# KServe's header: how many bytes of the body are JSON, if tensors follow as bytes.
JSON_LENGTH = "inference-header-content-length"
# Longest pause between two chunks of a body.
CHUNK_SECONDS = 10.0
# A body up to this many times the limit is read to its end before it is rejected.
DRAIN_FACTOR = 16

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientDisconnected(Exception):  # noqa: N818 - no error: there is no one left to send it to
    """The client closed the connection."""


def check_media_type(headers: Mapping[str, str]) -> None:
    """Accept JSON, and binary where a header says how much of the body is JSON.

    Raises:
        InferenceError: the body has another media type, or is compressed.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    accepted = {"", JSON, BINARY} if JSON_LENGTH in headers else {"", JSON}
    encoding = headers.get("content-encoding", "identity")
    if media not in accepted:
        raise _unsupported(f"the Content-Type is {media[:60]}; send {JSON}")
    if encoding.lower() != "identity":
        raise _unsupported(f"the Content-Encoding is {encoding[:60]}; send the body uncompressed")


async def read_body(headers: Mapping[str, str], receive: Receive, max_bytes: int) -> bytes:
    """The body of a request.

    Args:
        headers: of the request.
        receive: ASGI's callable, which returns the next chunk.
        max_bytes: size limit.

    Raises:
        InferenceError: it is too large, or stops arriving.
        ClientDisconnected: the client closed the connection.
    """
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > max_bytes:
        if int(length) <= DRAIN_FACTOR * max_bytes:
            await _discard(receive)
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await _next_chunk(receive)
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _discard(receive: Receive) -> None:
    """Read on, so that a client that only listens once it has sent everything gets the error."""
    while (await _next_chunk(receive)).get("more_body", False):
        pass


async def _next_chunk(receive: Receive) -> MutableMapping[str, Any]:
    try:
        async with asyncio.timeout(CHUNK_SECONDS):
            message = await receive()
    except TimeoutError:
        status = HTTPStatus.REQUEST_TIMEOUT
        raise InferenceError(
            status, "request_timeout", f"no part of the body arrived for {CHUNK_SECONDS:g} s"
        ) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    return message


def _too_large(max_bytes: int) -> InferenceError:
    return too_large(f"the body has more than {max_bytes:,} bytes; split the request")


def _unsupported(message: str) -> InferenceError:
    return InferenceError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)

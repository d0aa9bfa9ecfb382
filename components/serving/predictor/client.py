"""The client of the predictor, Triton or KServe's server: the V2 protocol over HTTP with binary tensors."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from loopline.components.contract.signature import COLUMNS, DATATYPES, MISSING_CATEGORY
from loopline.components.serving.predictor.http_client import ConnectionPool, Response
from loopline.components.serving.protocol.body import BINARY, JSON_LENGTH
from loopline.components.serving.protocol.errors import (
    InferenceError,
    predictor_error,
    predictor_timeout,
    predictor_unavailable,
)
from loopline.components.serving.protocol.tensor import BYTES, from_bytes, to_bytes

# Deadline of all calls but inference: shorter than the timeout of a readiness probe.
PROBE_SECONDS = 1.0


class Predictor:
    """A model that a predictor serves.

    Args:
        address: ``host`` or ``host:port``; the default port is 80.
        model: name of the model on the predictor.
        timeout_seconds: deadline of an inference call.
    """

    def __init__(self, address: str, model: str, timeout_seconds: float) -> None:
        host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
        self._pool = ConnectionPool(host or port, int(port) if host else 80)
        self._path = f"/v2/models/{model}"
        self._timeout_seconds = timeout_seconds
        self.address = address

    async def metadata(self) -> dict[str, Any]:
        """The model metadata of the V2 protocol: inputs and outputs.

        Raises:
            InferenceError: the predictor cannot be reached, or has no such model.
        """
        response = await self._request("GET", self._path, {}, b"", PROBE_SECONDS)
        content = _json(response.body)
        if not isinstance(content.get("inputs"), list) or not isinstance(content.get("outputs"), list):
            raise predictor_error(f"the predictor {self.address} has no metadata of its model's inputs and outputs")
        return content

    async def columns(self) -> dict[str, list[str]]:
        """The features in each tensor, which the package wrote into the model configuration.

        Raises:
            InferenceError: the predictor cannot be reached, or its configuration does not say.
        """
        response = await self._request("GET", f"{self._path}/config", {}, b"", PROBE_SECONDS)
        try:
            columns = _json(_json(response.body)["parameters"][COLUMNS]["string_value"].encode())
        except (AttributeError, LookupError, TypeError):
            columns = {}
        if not columns or not all(isinstance(names, list) for names in columns.values()):
            raise predictor_error(
                f"the model configuration of the predictor {self.address} does not name the features of its tensors: "
                "package the model again"
            )
        return columns

    async def is_ready(self) -> bool:
        """Whether the model is ready."""
        try:
            await self._request("GET", f"{self._path}/ready", {}, b"", PROBE_SECONDS)
        except InferenceError:
            return False
        return True

    async def scores(self, tensors: Mapping[str, Sequence[Sequence[Any]]], rows: int, output: str) -> list[float]:
        """The scores of some rows.

        Args:
            tensors: by name, ``numbers`` or ``categories``, the values of each of its features; None for a missing one.
            rows: how many values each feature has.
            output: name of the output.

        Raises:
            InferenceError: the predictor cannot be reached, does not respond in time, or returns no scores.
        """
        body, length = _encode(tensors, rows, output)
        headers = {"Content-Type": BINARY, JSON_LENGTH: str(length)}
        response = await self._request("POST", f"{self._path}/infer", headers, body, self._timeout_seconds)
        try:
            scores = _decode(response, output, rows)
        except (AttributeError, LookupError, TypeError, ValueError, InferenceError):
            scores = None
        if scores is None or len(scores) != rows:
            raise predictor_error(f"the predictor {self.address} returned no '{output}' for each of {rows} rows")
        if not all(map(math.isfinite, scores)):
            raise predictor_error(f"the predictor {self.address} returned a score that is not a finite number")
        return scores

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response:
        try:
            async with asyncio.timeout(seconds):
                response = await self._pool.request(method, path, headers, body)
        except TimeoutError:
            raise predictor_timeout(f"the predictor {self.address} did not respond within {seconds:g} s") from None
        except OSError as error:
            raise predictor_unavailable(f"the predictor {self.address} cannot be reached: {error}") from error
        if response.status != 200:
            raise self._error(response)
        return response

    def _error(self, response: Response) -> InferenceError:
        text = response.body[:200].decode(errors="replace")
        message = f"the predictor {self.address} responded {response.status}: {text}"
        # A server responds 404 or 503 while a model is being loaded, or is not there.
        return predictor_unavailable(message) if response.status in {404, 429, 503} else predictor_error(message)


def _encode(tensors: Mapping[str, Sequence[Sequence[Any]]], rows: int, output: str) -> tuple[bytes, int]:
    """The body of a request, and how many bytes of it are JSON; tensors of shape [rows, features] follow as bytes."""
    described, contents = [], []
    for name, columns in tensors.items():
        content = _strings(columns) if DATATYPES[name] == BYTES else _numbers(columns)
        described.append(
            {
                "name": name,
                "shape": [rows, len(columns)],
                "datatype": DATATYPES[name],
                "parameters": {"binary_data_size": len(content)},
            }
        )
        contents.append(content)
    text = orjson.dumps({"inputs": described, "outputs": [{"name": output, "parameters": {"binary_data": True}}]})
    return b"".join([text, *contents]), len(text)


def _numbers(columns: Sequence[Sequence[Any]]) -> bytes:
    return np.array(columns, np.float32).T.tobytes()  # None becomes NaN


def _strings(columns: Sequence[Sequence[Any]]) -> bytes:
    values = chain.from_iterable(zip(*columns, strict=True))
    return to_bytes([MISSING_CATEGORY if value is None else value for value in values])


def _decode(response: Response, output: str, rows: int) -> list[float] | None:
    """The scores in a response, sent as bytes or in the JSON; None if it has no such output."""
    length = response.headers.get(JSON_LENGTH)
    text = response.body[: int(length)] if length else response.body
    for tensor in _json(text).get("outputs", []):
        if tensor.get("name") == output:
            if "data" in tensor:
                return [float(score) for score in np.ravel(tensor["data"])]
            return [float(score) for score in from_bytes(output, tensor["datatype"], response.body[len(text) :], rows)]
    return None


def _json(text: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise predictor_error(f"the predictor's response is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise predictor_error("the predictor's response is not a JSON object")
    return content

"""The predictor: a model behind the V2 protocol, Triton's server or KServe's, called over HTTP with binary tensors."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from loopline.components.contract.signature import COLUMNS, MISSING_CATEGORY, TENSORS
from loopline.components.serving.predictor.http_client import Pool, Response
from loopline.components.serving.protocol.errors import RefusedError, predictor_away, predictor_slow, predictor_wrong
from loopline.components.serving.protocol.tensor import BYTES, from_bytes, to_bytes

JSON_LENGTH = "inference-header-content-length"
# Readiness has to be known sooner than a probe gives up.
PROBE_SECONDS = 1.0


class Predictor:
    """The model of an endpoint, at one address.

    Args:
        address: ``host`` or ``host:port``; the port is 80 if it is not given.
        model: its name there.
        seconds: it has to answer within.
    """

    def __init__(self, address: str, model: str, seconds: float) -> None:
        host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
        self._pool = Pool(host or port, int(port) if host else 80)
        self._path = f"/v2/models/{model}"
        self._seconds = seconds
        self.address = address

    async def metadata(self) -> dict[str, Any]:
        """What the model takes and gives, as the V2 protocol says it.

        Raises:
            RefusedError: it cannot be reached, or has no such model.
        """
        response = await self._request("GET", self._path, {}, b"", PROBE_SECONDS)
        content = _json(response.body)
        if not isinstance(content.get("inputs"), list) or not isinstance(content.get("outputs"), list):
            raise predictor_wrong(f"the predictor {self.address} does not say what its model takes")
        return content

    async def columns(self) -> dict[str, list[str]]:
        """Which features stand in which tensor, as the package says and the server tells with its configuration.

        Raises:
            RefusedError: it cannot be reached, or does not tell.
        """
        response = await self._request("GET", f"{self._path}/config", {}, b"", PROBE_SECONDS)
        try:
            told = _json(_json(response.body)["parameters"][COLUMNS]["string_value"].encode())
        except (AttributeError, LookupError, TypeError):
            told = {}
        if not told or not all(isinstance(names, list) for names in told.values()):
            raise predictor_wrong(
                f"the predictor {self.address} does not say which features its tensors hold: package the model again"
            )
        return told

    async def is_ready(self) -> bool:
        """Whether it would answer."""
        try:
            await self._request("GET", f"{self._path}/ready", {}, b"", PROBE_SECONDS)
        except RefusedError:
            return False
        return True

    async def scores(self, tensors: Mapping[str, Sequence[Sequence[Any]]], rows: int, output: str) -> list[float]:
        """The scores of some rows.

        Args:
            tensors: by name, ``numbers`` or ``categories``, the values of each of its features; None where there is
                none.
            rows: how many values each has.
            output: name of the output.

        Raises:
            RefusedError: it cannot be reached, does not answer in time, or answers no scores.
        """
        body, length = _encode(tensors, rows, output)
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(length)}
        response = await self._request("POST", f"{self._path}/infer", headers, body, self._seconds)
        try:
            scores = _decode(response, output, rows)
        except (AttributeError, LookupError, TypeError, ValueError, RefusedError):
            scores = None
        if scores is None or len(scores) != rows:
            raise predictor_wrong(f"the predictor {self.address} gave no '{output}' for each of {rows} rows")
        if not all(map(math.isfinite, scores)):
            raise predictor_wrong(f"the predictor {self.address} gave a score that is not a finite number")
        return scores

    def close(self) -> None:
        """Close its connections."""
        self._pool.close()

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response:
        try:
            async with asyncio.timeout(seconds):
                response = await self._pool.request(method, path, headers, body)
        except TimeoutError:
            raise predictor_slow(f"the predictor {self.address} did not answer within {seconds:g} s") from None
        except OSError as error:
            raise predictor_away(f"the predictor {self.address} cannot be reached: {error}") from error
        if response.status != 200:
            raise self._refused(response)
        return response

    def _refused(self, response: Response) -> RefusedError:
        said = response.body[:200].decode(errors="replace")
        message = f"the predictor {self.address} answered {response.status}: {said}"
        # 404 and 503 are what a server says while a model is being loaded, or is not there.
        return predictor_away(message) if response.status in {404, 429, 503} else predictor_wrong(message)


def _encode(tensors: Mapping[str, Sequence[Sequence[Any]]], rows: int, output: str) -> tuple[bytes, int]:
    """The body of a request, and how many bytes of it are JSON; tensors, [rows, features], follow as bytes."""
    described, contents = [], []
    for name, columns in tensors.items():
        number = name == TENSORS["number"]
        content = _numbers(columns) if number else _strings(columns)
        described.append(
            {
                "name": name,
                "shape": [rows, len(columns)],
                "datatype": "FP32" if number else BYTES,
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
    """The scores in a response, whether they come as bytes or in the JSON."""
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
        raise predictor_wrong(f"the predictor's answer is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise predictor_wrong("the predictor's answer is no JSON object")
    return content

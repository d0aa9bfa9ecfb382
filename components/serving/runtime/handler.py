"""The path of every inference request, whatever its protocol: admitted, parsed, answered, counted and logged."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from loopline.components.contract.examples import identity_columns
from loopline.components.serving.protocol.errors import InferenceError, internal
from loopline.components.serving.protocol.request import InferenceRequest
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.runtime.limits import ConcurrencyLimit
from loopline.components.serving.runtime.served_model import ServedModel
from loopline.components.serving.telemetry.metrics import Metrics
from loopline.components.serving.telemetry.prediction_log import PredictionLog

logger = logging.getLogger(__name__)


class Handler:
    """Handles inference requests.

    Args:
        model: the served model.
        limit: how many requests are handled at once.
        metrics: counts requests and errors.
        log: the prediction log; None for none.
        access_log: whether each request is a line in the service's own log.
    """

    def __init__(
        self,
        model: ServedModel,
        limit: ConcurrencyLimit,
        metrics: Metrics,
        log: PredictionLog | None,
        *,
        access_log: bool,
    ) -> None:
        self.model = model
        self._limit = limit
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        self._identity = identity_columns(model.spec)

    async def handle(self, protocol: str, read: Callable[[], InferenceRequest], started: float) -> InferenceResponse:
        """Handle a request.

        Args:
            protocol: v1, v2 or grpc, a label of the metrics.
            read: parses and validates the request; called once the request is admitted.
            started: when it arrived, by `time.perf_counter`.

        Raises:
            InferenceError: it gets an error, which is counted and logged already.
        """
        request: InferenceRequest | None = None
        try:
            async with self._limit.slot():
                request = read()
                response = await self.model.infer(request)
        except InferenceError as error:
            self.record_error(protocol, error, started, request)
            raise
        except Exception as error:
            logger.exception("unexpected error while handling a request")
            internal_error = internal(error)
            self.record_error(protocol, internal_error, started, request)
            raise internal_error from error
        seconds = time.perf_counter() - started
        self._metrics.count_request(protocol, HTTPStatus.OK, seconds)
        self._log_response(request, response, seconds)
        if self._access_log:
            self._write_access_log(protocol, HTTPStatus.OK, seconds, request.id)
        return response

    def record_error(
        self, protocol: str, error: InferenceError, started: float, request: InferenceRequest | None = None
    ) -> None:
        """Count an error; write it to the prediction log if the endpoint failed, not if the client was wrong."""
        seconds = time.perf_counter() - started
        self._metrics.count_request(protocol, error.status, seconds)
        self._metrics.count_error(error.kind)
        if error.is_server_error:
            self._log_failure(request, seconds)
        if self._access_log:
            self._write_access_log(protocol, error.status, seconds, request.id if request else None, error.kind)

    def _log_response(self, request: InferenceRequest, response: InferenceResponse, seconds: float) -> None:
        if self._log is None:
            return
        now = datetime.now(UTC)
        identity = [request.columns[name] for name in self._identity]
        for row in range(request.rows):
            entity = (column[row] for column in identity)
            score, digest = response.scores[row], response.digests[row]
            self._log.add((now, response.version, False, seconds, score, request.id, row, digest, *entity))

    def _log_failure(self, request: InferenceRequest | None, seconds: float) -> None:
        """One row for each row of the request; one without an entity if the request could not be parsed."""
        if self._log is None:
            return
        now = datetime.now(UTC)
        version, request_id = self.model.metadata.version, request.id if request else None
        for row in range(request.rows if request else 1):
            entity = (request.columns[name][row] if request else None for name in self._identity)
            self._log.add((now, version, True, seconds, None, request_id, row, None, *entity))

    def _write_access_log(
        self, protocol: str, status: int, seconds: float, request_id: str | None, kind: str = ""
    ) -> None:
        logger.info(
            "request",
            extra={
                "protocol": protocol,
                "status": int(status),
                "seconds": seconds,
                "request": request_id,
                "kind": kind,
            },
        )

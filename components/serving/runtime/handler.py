"""What every request goes through, whichever protocol it comes by: admitted, read, answered, counted and logged."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from loopline.components.contract.examples import identity_columns
from loopline.components.serving.protocol.errors import RefusedError, internal
from loopline.components.serving.protocol.request import Question
from loopline.components.serving.protocol.response import Answer
from loopline.components.serving.runtime.limits import Admission
from loopline.components.serving.runtime.served_model import ServedModel
from loopline.components.serving.telemetry.metrics import Metrics
from loopline.components.serving.telemetry.prediction_log import PredictionLog

logger = logging.getLogger(__name__)


class Handler:
    """Answers requests.

    Args:
        model: what answers.
        admission: how many at a time.
        metrics: where they are counted.
        log: where they are logged; None for nowhere.
        trace: whether each request leaves a line in the service's own log.
    """

    def __init__(
        self, model: ServedModel, admission: Admission, metrics: Metrics, log: PredictionLog | None, *, trace: bool
    ) -> None:
        self.model = model
        self._admission = admission
        self._metrics = metrics
        self._log = log
        self._trace = trace
        self._identity = identity_columns(model.spec)

    async def handle(self, protocol: str, read: Callable[[], Question], started: float) -> Answer:
        """Answer a request.

        Args:
            protocol: v1, v2 or grpc, for the counters.
            read: reads and checks the question; it runs once the request is admitted.
            started: when it arrived, by `time.perf_counter`.

        Raises:
            RefusedError: it is not answered; this is counted and logged already.
        """
        question: Question | None = None
        try:
            async with self._admission.admitted():
                question = read()
                answer = await self.model.answer(question)
        except RefusedError as refusal:
            self.refused(protocol, refusal, started, question)
            raise
        except Exception as error:
            logger.exception("a request failed for no known reason")
            failure = internal(error)
            self.refused(protocol, failure, started, question)
            raise failure from error
        seconds = time.perf_counter() - started
        self._metrics.answered(protocol, HTTPStatus.OK, seconds)
        self._log_answer(question, answer, seconds)
        if self._trace:
            self._say(protocol, HTTPStatus.OK, seconds, question.id)
        return answer

    def refused(self, protocol: str, refusal: RefusedError, started: float, question: Question | None = None) -> None:
        """Count a refusal; log it in the prediction log if it is a failure of ours, not a mistake of the asker."""
        seconds = time.perf_counter() - started
        self._metrics.answered(protocol, refusal.status, seconds)
        self._metrics.refused(refusal.kind)
        if refusal.is_failure:
            self._log_failure(question, seconds)
        if self._trace:
            self._say(protocol, refusal.status, seconds, question.id if question else None, refusal.kind)

    def _log_answer(self, question: Question, answer: Answer, seconds: float) -> None:
        if self._log is None:
            return
        now = datetime.now(UTC)
        entity = [question.columns[name] for name in self._identity]
        for row in range(question.rows):
            names = (column[row] for column in entity)
            score, digest = answer.scores[row], answer.digests[row]
            self._log.add((now, answer.version, False, seconds, score, question.id, row, digest, *names))

    def _log_failure(self, question: Question | None, seconds: float) -> None:
        """A row for each that was asked for; one without an entity where it was not read what was asked."""
        if self._log is None:
            return
        now = datetime.now(UTC)
        for row in range(question.rows if question else 1):
            names = (question.columns[name][row] if question else None for name in self._identity)
            request = question.id if question else None
            self._log.add((now, self.model.version, True, seconds, None, request, row, None, *names))

    def _say(self, protocol: str, status: int, seconds: float, request: str | None, kind: str = "") -> None:
        logger.info(
            "request",
            extra={"protocol": protocol, "status": int(status), "seconds": seconds, "request": request, "kind": kind},
        )

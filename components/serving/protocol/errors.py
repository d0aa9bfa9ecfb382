"""Why a question is not answered: a status, one sentence, and who has to do something about it."""

from collections.abc import Mapping
from http import HTTPStatus

from loopline.components.errors import LooplineError

# The same question may be answered after a second.
AGAIN = {"retry-after": "1"}


class RefusedError(LooplineError):
    """An answer that is none.

    Attributes:
        status: of HTTP; below 500 the asker has to change something, from 500 on it is our failure.
        kind: one word or two for counters and logs.
        headers: what HTTP says about it besides.
    """

    def __init__(self, status: HTTPStatus, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = headers or {}

    @property
    def is_failure(self) -> bool:
        """Whether it is the endpoint that failed, not the asker."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def malformed(message: str) -> RefusedError:
    """The body cannot be read at all."""
    return RefusedError(HTTPStatus.BAD_REQUEST, "malformed", message)


def invalid(message: str) -> RefusedError:
    """The body can be read, and something in it is missing or wrong."""
    return RefusedError(HTTPStatus.BAD_REQUEST, "invalid", message)


def too_large(message: str) -> RefusedError:
    """More bytes or rows than are taken at a time."""
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", message)


def unknown(message: str) -> RefusedError:
    """There is no such model, version or path."""
    return RefusedError(HTTPStatus.NOT_FOUND, "unknown", message)


def overloaded(message: str) -> RefusedError:
    """More is asked at a time than can be answered."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", message, AGAIN)


def predictor_away(message: str) -> RefusedError:
    """The predictor cannot be reached, or is not ready."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "predictor_away", message, AGAIN)


def predictor_slow(message: str) -> RefusedError:
    """The predictor did not answer in time."""
    return RefusedError(HTTPStatus.GATEWAY_TIMEOUT, "predictor_slow", message)


def predictor_wrong(message: str) -> RefusedError:
    """The predictor answered something that is no score."""
    return RefusedError(HTTPStatus.BAD_GATEWAY, "predictor_wrong", message)


def store_away(message: str) -> RefusedError:
    """The online store cannot be read, and nothing is left to answer from."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "store_away", message, AGAIN)


def internal(error: Exception) -> RefusedError:
    """A mistake of this code; its log has the traceback."""
    message = f"the request failed for a reason of our own, {type(error).__name__}; the service's log has it"
    return RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message)

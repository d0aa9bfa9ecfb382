"""Errors that a request can end with: the HTTP status, a one-line message, and whose fault it is."""

from collections.abc import Mapping
from http import HTTPStatus

from loopline.components.errors import LooplineError

RETRY_LATER = {"retry-after": "1"}


class InferenceError(LooplineError):
    """A request that gets an error instead of predictions.

    Attributes:
        status: HTTP status; below 500 the client has to change the request, from 500 on the endpoint failed.
        kind: short identifier for metrics and logs.
        headers: extra response headers.
    """

    def __init__(self, status: HTTPStatus, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = headers or {}

    @property
    def is_server_error(self) -> bool:
        """Whether the endpoint failed, rather than the client."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def malformed(message: str) -> InferenceError:
    """The body cannot be parsed."""
    return InferenceError(HTTPStatus.BAD_REQUEST, "malformed", message)


def invalid(message: str) -> InferenceError:
    """The body can be parsed, but a value is missing or wrong."""
    return InferenceError(HTTPStatus.BAD_REQUEST, "invalid", message)


def too_large(message: str) -> InferenceError:
    """The request has more bytes or rows than one request may have."""
    return InferenceError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", message)


def not_found(message: str) -> InferenceError:
    """There is no such model, version or path."""
    return InferenceError(HTTPStatus.NOT_FOUND, "not_found", message)


def overloaded(message: str) -> InferenceError:
    """Too many requests at once."""
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", message, RETRY_LATER)


def not_ready(message: str) -> InferenceError:
    """The service does not take requests yet."""
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", message, RETRY_LATER)


def draining() -> InferenceError:
    """The service is about to shut down."""
    message = "the service is shutting down"
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "draining", message, RETRY_LATER)


def predictor_unavailable(message: str) -> InferenceError:
    """The predictor cannot be reached, or is not ready."""
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "predictor_unavailable", message, RETRY_LATER)


def predictor_timeout(message: str) -> InferenceError:
    """The predictor did not respond in time."""
    return InferenceError(HTTPStatus.GATEWAY_TIMEOUT, "predictor_timeout", message)


def predictor_error(message: str) -> InferenceError:
    """The predictor responded with an error, or with something other than scores."""
    return InferenceError(HTTPStatus.BAD_GATEWAY, "predictor_error", message)


def online_store_unavailable(message: str) -> InferenceError:
    """The online store cannot be read, and the model takes nothing but stored features."""
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "online_store_unavailable", message, RETRY_LATER)


def incompatible_model(message: str) -> InferenceError:
    """The predictor serves a model that does not fit the use case."""
    return InferenceError(HTTPStatus.SERVICE_UNAVAILABLE, "incompatible_model", message)


def internal(error: Exception) -> InferenceError:
    """A bug in the service; its log has the traceback."""
    message = f"the request failed because of an internal error, {type(error).__name__}; see the service's log"
    return InferenceError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message)

"""Errors of the Kubernetes API: the one place where statuses become exceptions with a message for people."""

import json
from typing import Any

from loopline.components.errors import LooplineError


class NoClusterError(LooplineError):
    """This process does not run in a pod, and there is no usable kubeconfig."""


class UnreachableError(LooplineError):
    """The API server does not answer, or is overloaded or starting: the same request may succeed later."""


class BadRequestError(LooplineError):
    """400: the request is malformed, or makes no sense in the state that the object is in."""


class NotPermittedError(LooplineError):
    """403: RBAC does not permit this account the request."""


class NotFoundError(LooplineError):
    """404: there is no object of that name."""


class UnknownResourceError(LooplineError):
    """404: the API server does not serve the resource, because its CRD is not installed."""


class ConflictError(LooplineError):
    """409: there is an object of that name, or it was modified since it was read."""


class FieldConflictError(ConflictError):
    """409 to a server-side apply: another field manager owns a field."""


def from_response(error: Any, server: str, request: str, role: str, install: str) -> LooplineError:
    """The exception for an error response.

    Args:
        error: a ``kubernetes.client.ApiException``.
        server: which API server answered, in words.
        request: what was requested, such as "create trainjobs in namespace loopline".
        role: what permits the request.
        install: what to do where the API server does not serve the resource.
    """
    status = _status(error)
    details = status.get("details") or {}
    reasons = [cause.get("reason") for cause in details.get("causes") or []]
    message = status.get("message") or " ".join(str(error.reason).split())
    refused = f"the cluster refuses to {request}: {message}"
    plural = request.split()[1]
    if not error.status:  # of the client itself, for TLS
        return UnreachableError(
            f"{server} cannot be reached ({message}); check the certificate authority in the kubeconfig"
        )
    if error.status == 429 or error.status >= 500:
        return UnreachableError(f"{server} cannot answer now: {error.status} {message}")
    if error.status == 404 and details.get("name"):
        return NotFoundError(f"{plural} '{details['name']}' not found")
    if error.status == 409:
        return FieldConflictError(refused) if "FieldManagerConflict" in reasons else ConflictError(refused)
    mapped = {
        400: BadRequestError(refused),
        401: LooplineError(f"{server} does not accept our token (401): renew it, or log in again"),
        403: NotPermittedError(f"this account may not {request}: it needs {role} ({message})"),
        404: UnknownResourceError(f"this cluster has no {plural}: {install}"),
    }
    return mapped.get(error.status, LooplineError(refused))


def _status(error: Any) -> dict[str, Any]:
    """The Status object in the body of an error response; empty where a proxy or a missing API answered."""
    try:
        status = json.loads(error.body or "{}")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}

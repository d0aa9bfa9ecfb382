"""Errors of the KFP API: statuses become exceptions that say what to do."""

import json

import kfp_server_api as kfp

from loopline.cluster import token
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError

LONGEST_MESSAGE = 200


class UnavailableError(LooplineError):
    """The server does not answer, or answers 5xx: the same request may succeed later."""


def unreachable(error: Exception, cluster: Cluster) -> UnavailableError:
    """The exception for a request that got no response."""
    reason = getattr(error, "reason", None) or error
    return UnavailableError(
        f"KFP at {cluster.kfp.endpoint} cannot be reached ({_short(reason)}); correct kfp.endpoint in the settings of "
        "the cluster, or forward the port, for example with `kubectl -n kubeflow port-forward svc/ml-pipeline 8888`"
    )


def from_response(error: kfp.ApiException, cluster: Cluster) -> LooplineError:
    """The exception for an error response."""
    server, message = f"KFP at {cluster.kfp.endpoint}", _message(error)
    if error.status is None or error.status >= 500:
        return UnavailableError(
            f"{server} answered {error.status} ({message}); see `kubectl -n kubeflow logs deploy/ml-pipeline`"
        )
    if error.status == 401:
        origin = token.origin(cluster.kfp)
        used = f"the token from {origin}" if origin else "a request without a token"
        return LooplineError(f"{server} did not accept {used}: expired, or of another audience; {token.RENEW}")
    if error.status == 403:
        return LooplineError(
            f"{server} does not permit this account to use namespace {cluster.namespace} ({message}); correct "
            "namespace in the settings of the cluster, or bind the account to Role loopline-submit there"
        )
    if error.status == 404:
        return LooplineError(f"{server} answered 404 ({message}); is that address the API of a KFP 2 server?")
    return LooplineError(f"{server} refused the request with {error.status}: {message}")


def _message(error: kfp.ApiException) -> str:
    """The message of an error response, without the stack of the server."""
    try:
        response = json.loads(error.body or "")
        text = response.get("message") or response.get("error_message") or response.get("error") or ""
    except (ValueError, AttributeError):
        text = str(error.body or "")
    return _short(text or error.reason or "no reason given")


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"

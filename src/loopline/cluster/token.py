"""The bearer token of requests to a KFP server."""

import base64
import binascii
import json
import os
from datetime import UTC, datetime

from loopline.cluster.settings import KfpServer
from loopline.components.errors import LooplineError

VARIABLE = "LOOPLINE_KFP_TOKEN"
RENEW = "renew it, for example with `kubectl create token loopline-submit --audience pipelines.kubeflow.org`"


def origin(server: KfpServer) -> str:
    """Where the token comes from, for messages; empty if there is none."""
    if os.environ.get(VARIABLE):
        return f"the variable {VARIABLE}"
    return str(server.token) if server.token else ""


def read(server: KfpServer) -> str:
    """Read the token anew, since the kubelet replaces the file of a projected token before it expires.

    Returns:
        The token; empty if there is none, which a single-user KFP server accepts.

    Raises:
        LooplineError: its file cannot be read or is empty, or it has expired.
    """
    token = os.environ.get(VARIABLE, "")
    if not token and server.token:
        try:
            token = server.token.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise LooplineError(
                f"the token for KFP cannot be read from {server.token} ({error.strerror}); "
                f"set {VARIABLE}, or correct kfp.token in the settings of the cluster"
            ) from error
        if not token:
            raise LooplineError(f"the file of the token for KFP, {server.token}, is empty; {RENEW}")
    expiry = expires(token)
    if expiry and expiry <= datetime.now(UTC):
        raise LooplineError(f"the token for KFP in {origin(server)} expired at {expiry:%Y-%m-%d %H:%M} UTC; {RENEW}")
    return token


def expires(token: str) -> datetime | None:
    """When a token expires; None if it is not a JSON Web Token with an expiry."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, binascii.Error):
        return None

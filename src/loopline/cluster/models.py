"""Look up the model version of an alias over MLflow's REST API, without importing MLflow."""

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request

from loopline.components.errors import LooplineError

TIMEOUT = 30.0


def version_of(registry: str, model: str, alias: str) -> str | None:
    """The version of a model that has an alias; None if no version has it.

    Args:
        registry: URL of the MLflow server; user and password come from MLFLOW_TRACKING_USERNAME and
            MLFLOW_TRACKING_PASSWORD.
        model: name of the registered model.
        alias: for example ``champion``.

    Raises:
        LooplineError: the server cannot be reached, or refuses.
    """
    query = urllib.parse.urlencode({"name": model, "alias": alias})
    request = urllib.request.Request(  # noqa: S310 - the settings take http and https only
        f"{registry.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{query}"
    )
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user:
        account = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(account.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            return str(json.load(response)["model_version"]["version"])
    except urllib.error.HTTPError as error:
        if error.code in {400, 404} and _code(error) in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}:
            return None
        if error.code in {401, 403}:
            raise LooplineError(
                f"MLflow at {registry} does not permit {user or 'a request without a user'} to read models; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (on the cluster they come from Secret "
                "loopline-mlflow)"
            ) from error
        raise LooplineError(f"MLflow at {registry} answered {error.code} {error.reason}") from error
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", None) or error
        raise LooplineError(
            f"MLflow at {registry} cannot be reached for the version with alias {alias} ({reason}); correct "
            "registry in the settings of the cluster"
        ) from error


def _code(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error_code"])
    except (ValueError, KeyError, TypeError):
        return ""

"""The Secrets of an environment that has no store for them: random, and never in Git."""

import secrets
from typing import Any

from tests.manifests.findings import documented_secrets


def random_secrets(namespace: str) -> list[dict[str, Any]]:
    """Every Secret that the manifests name, with all its keys.

    Args:
        namespace: where they go.
    """
    values = {
        name: {key: secrets.token_urlsafe(24) for key in sorted(keys)} for name, keys in documented_secrets().items()
    }
    values["loopline-mlflow"]["MLFLOW_TRACKING_USERNAME"] = "pipelines"
    values["loopline-mlflow-server"]["PGUSER"] = "mlflow"
    password = values["loopline-redis"]["password"]
    values["loopline-feast-online"]["redis"] = f'connection_string: "redis:6379,password={password}"\n'
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "stringData": data,
        }
        for name, data in values.items()
    ]

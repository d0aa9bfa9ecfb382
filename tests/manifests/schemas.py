"""Whether objects are what the API server would take: strict core schemas, and those of the custom resources."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
from jsonschema.validators import validator_for

from tests.manifests.render import PROJECT

CORE_VERSION = kubernetes_validate.latest_version()
# Those with a dot; operators have groups under k8s.io too.
CORE_GROUPS = frozenset(
    f"{name}.k8s.io"
    for name in (
        "admissionregistration", "apiextensions", "apiregistration", "authentication", "authorization", "certificates",
        "coordination", "discovery", "events", "flowcontrol.apiserver", "networking", "node", "rbac.authorization",
        "resource", "scheduling", "storage",
    )
)  # fmt: skip


def folder() -> Path:
    """Where the schemas of custom resources lie: LOOPLINE_SCHEMAS, else shared/schemas beside the project."""
    return Path(os.environ.get("LOOPLINE_SCHEMAS") or PROJECT.parent / "shared" / "schemas")


def is_core(item: dict[str, Any]) -> bool:
    """Whether Kubernetes itself serves this kind, and not a CRD."""
    group = item["apiVersion"].rpartition("/")[0]
    return "." not in group or group in CORE_GROUPS


def problems(item: dict[str, Any]) -> list[str]:
    """What a schema refuses in an object, one line each."""
    if is_core(item):
        return _core_problems(item)
    group, _, version = item["apiVersion"].partition("/")
    path = folder() / group / f"{item['kind'].lower()}_{version}.json"
    if not path.is_file():
        return [f"no schema {group}/{path.name}"]
    return [f"{error.json_path}: {error.message[:200]}" for error in _validator(path).iter_errors(item)]


def _core_problems(item: dict[str, Any]) -> list[str]:
    try:
        kubernetes_validate.validate(item, CORE_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [str(error)]
    return []


@functools.cache
def _validator(path: Path) -> jsonschema.protocols.Validator:
    schema = json.loads(path.read_text(encoding="utf-8"))
    return validator_for(schema)(schema)

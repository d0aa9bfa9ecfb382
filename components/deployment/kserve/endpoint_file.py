"""An overlay's endpoint.yaml: a patch with the part of the InferenceService that a release changes."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from loopline.components.deployment.kserve.inference_service import PERCENT, STABLE, VERSION

# The highest generation that was applied to this object.
GENERATION = "loopline.dev/release-generation"


def generation_of(service: Mapping[str, Any]) -> int:
    """The highest generation that was applied; 0 before the first."""
    return int(service["metadata"].get("annotations", {}).get(GENERATION, 0))


def patch_of(service: Mapping[str, Any], generation: int) -> dict[str, Any]:
    """The patch that sets the versions and shares of this service in an overlay's InferenceService."""
    predictor = service["spec"]["predictor"]
    annotations = {GENERATION: str(generation)}
    if STABLE in service["metadata"].get("annotations", {}):
        annotations[STABLE] = service["metadata"]["annotations"][STABLE]
    own: dict[str, Any] = {key: predictor[key] for key in ("name", PERCENT) if key in predictor}
    own["labels"] = {VERSION: predictor["labels"][VERSION]}
    own["model"] = {"storageUri": predictor["model"]["storageUri"]}
    spec: dict[str, Any] = {"predictor": own}
    if "canary" in service["spec"]:
        spec["canary"] = service["spec"]["canary"]
    return {
        "apiVersion": service["apiVersion"],
        "kind": service["kind"],
        "metadata": {
            "name": service["metadata"]["name"],
            "namespace": service["metadata"]["namespace"],
            "annotations": annotations,
        },
        "spec": spec,
    }


def text_of(patch: Mapping[str, Any], former: str) -> str:
    """A patch as YAML, below the comment at the top of the former file."""
    comment = re.match(r"(?:#.*\n)*", former)
    head = comment[0] if comment else ""
    return head + yaml.safe_dump(dict(patch), width=120)  # keys in the order of kustomize's output

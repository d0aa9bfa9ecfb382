"""The InferenceService of an endpoint on this machine: which versions are wanted, and how much each gets."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.deployment.kserve.inference_service import VERSION


@dataclass(frozen=True)
class Share:
    """A version of an endpoint.

    Attributes:
        version: of the model, in the registry.
        repository: its model repository.
        percent: of the requests.
    """

    version: int
    repository: Path
    percent: int


def with_shares(service: Mapping[str, Any], stable: Share, canary: Share | None = None) -> dict[str, Any]:
    """An InferenceService with these versions in place of its own, as a cluster would get it.

    Args:
        service: whose stable predictor the predictors are made after.
        stable: what answers what the canary does not.
        canary: if there is one.
    """
    base = service["spec"]["predictor"]
    changed = copy.deepcopy(dict(service))
    changed["spec"].pop("canary", None)
    changed["spec"]["predictor"] = _predictor(base, stable)
    if canary:
        alone = {key: value for key, value in base.items() if key != "maxReplicas"}  # KServe takes none on a canary
        changed["spec"]["canary"] = [{"trafficPercent": canary.percent, "predictor": _predictor(alone, canary)}]
    return changed


def shares(service: Mapping[str, Any]) -> tuple[Share, Share | None]:
    """The stable version and the canary of an InferenceService."""
    canaries = service["spec"].get("canary") or []
    canary = _share(canaries[0]["predictor"], canaries[0]["trafficPercent"]) if canaries else None
    return _share(service["spec"]["predictor"], 100 - (canary.percent if canary else 0)), canary


def _predictor(base: Mapping[str, Any], share: Share) -> dict[str, Any]:
    predictor = copy.deepcopy(dict(base))
    predictor["name"] = f"v{share.version}"
    predictor["labels"][VERSION] = str(share.version)
    predictor["model"]["storageUri"] = share.repository.as_uri()
    return predictor


def _share(predictor: Mapping[str, Any], percent: int) -> Share:
    repository = Path(predictor["model"]["storageUri"].removeprefix("file://"))
    return Share(int(predictor["labels"][VERSION]), repository, percent)

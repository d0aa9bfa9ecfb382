"""The versions that an endpoint on this machine serves, as its InferenceService names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.deployment.kserve import inference_service


@dataclass(frozen=True)
class ServedVersion:
    """A version of an endpoint.

    Attributes:
        number: of the version in the registry.
        repository: its model repository on this machine.
        percent: of the requests.
    """

    number: int
    repository: Path
    percent: int


def served_versions(service: Mapping[str, Any]) -> tuple[ServedVersion, ServedVersion | None]:
    """The stable version and the canary of an InferenceService.

    Raises:
        LooplineError: the object is refused by `inference_service.check`.
    """
    split = inference_service.traffic_split(service)
    stable = ServedVersion(int(split.stable), _repository(service["spec"]["predictor"]), 100 - split.percent)
    if split.canary is None:
        return stable, None
    [canary] = service["spec"]["canary"]
    return stable, ServedVersion(int(split.canary), _repository(canary["predictor"]), split.percent)


def _repository(predictor: Mapping[str, Any]) -> Path:
    return Path(predictor["model"]["storageUri"].removeprefix("file://"))

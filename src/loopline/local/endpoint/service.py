"""The endpoint's own files: the InferenceService and the ServingRuntimes that a cluster gets, read and filled in."""

import re
from pathlib import Path
from typing import Any

import yaml

from loopline import project
from loopline.components.deployment.targets.local_service import Share, with_shares
from loopline.components.errors import LooplineError

SERVICE = project.path("manifests/usecase-template/inference-service.yaml")
RUNTIMES = {
    "loopline-onnx": project.path("manifests/serving/serving-runtime.yaml"),
    "loopline-triton": project.path("kustomize/components/gpu-serving/serving-runtime.yaml"),
}

Manifest = dict[str, Any]


def inference_service(name: str, stable: Share, canary: Share | None = None) -> Manifest:
    """The InferenceService of an endpoint, as a cluster would get it but for where the models lie.

    Args:
        name: of the use case.
        stable: what answers what the canary does not.
        canary: if there is one.
    """
    service = read(SERVICE)
    service["metadata"]["name"] = name
    return with_shares(service, stable, canary)


def containers(runtime: str) -> tuple[Manifest, Manifest]:
    """The containers of a pod of the endpoint: transformer and predictor.

    Raises:
        LooplineError: the files do not have them.
    """
    transformers = read(SERVICE)["spec"]["predictor"]["containers"]
    predictors = read(RUNTIMES[runtime])["spec"]["containers"]
    for file, found, name in (
        (SERVICE, transformers, "transformer-container"),
        (RUNTIMES[runtime], predictors, "kserve-container"),
    ):
        if not any(container["name"] == name for container in found):
            raise LooplineError(f"{file} has no container {name}, so nobody knows how to start it; put it back")
    return transformers[0], predictors[0]


def command(container: Manifest, program: list[str], name: str, settings: dict[str, str]) -> list[str]:
    """How a container's program is started here.

    Args:
        container: says command and arguments; its program, and the arguments that only a pod's place explains, are
            replaced.
        program: what to start in place of the container's own.
        name: of the endpoint, which KServe writes in place of ``{{.Name}}``.
        settings: arguments with other values than a pod's, or none there; an empty value stands for a bare flag.
    """
    arguments = {}
    for argument in container.get("args", []):
        flag, _, value = argument.partition("=")
        arguments[flag] = re.sub(r"\{\{\s*\.Name\s*\}\}", name, value)
    arguments |= settings
    return [*program, *(f"{flag}={value}" if value else flag for flag, value in arguments.items())]


def read(file: Path) -> Manifest:
    """A file of one object.

    Raises:
        LooplineError: it is missing or no YAML.
    """
    try:
        manifest: Manifest = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise LooplineError(f"{file} cannot be read: {error}") from error
    return manifest

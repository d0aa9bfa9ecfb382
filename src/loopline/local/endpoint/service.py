"""The manifests of an endpoint, those that a cluster gets: the InferenceService and the ServingRuntimes."""

import re
from pathlib import Path
from typing import Any

import yaml

from loopline import project
from loopline.components.deployment.kserve import render
from loopline.components.deployment.kserve.inference_service import MODE
from loopline.components.errors import LooplineError

SERVICE = project.path("manifests/usecase-template/inference-service.yaml")
RUNTIMES = {
    "loopline-onnx": project.path("manifests/serving/serving-runtime.yaml"),
    "loopline-triton": project.path("kustomize/components/gpu-serving/serving-runtime.yaml"),
}

Manifest = dict[str, Any]


def inference_service(name: str, version: str, storage_uri: str) -> Manifest:
    """The InferenceService of an endpoint with one version, as on a cluster except for where the model is.

    Args:
        name: of the use case.
        version: to serve.
        storage_uri: of its model repository.
    """
    service = read(SERVICE)
    service["metadata"]["name"] = name
    service["metadata"].setdefault("annotations", {})[MODE] = "Standard"
    return render.with_stable(service, version, storage_uri)


def containers(runtime: str) -> tuple[Manifest, Manifest]:
    """The containers of a pod of the endpoint: transformer and predictor.

    Raises:
        LooplineError: a file does not have its container.
    """
    transformers = read(SERVICE)["spec"]["predictor"]["containers"]
    predictors = read(RUNTIMES[runtime])["spec"]["containers"]
    for file, found, name in (
        (SERVICE, transformers, "transformer-container"),
        (RUNTIMES[runtime], predictors, "kserve-container"),
    ):
        if not any(container["name"] == name for container in found):
            raise LooplineError(f"{file} has no container {name}, so it cannot be started; put it back")
    return transformers[0], predictors[0]


def command(container: Manifest, program: list[str], name: str, settings: dict[str, str]) -> list[str]:
    """The command line that starts a container's program on this machine.

    Args:
        container: of the pod; its arguments are kept unless ``settings`` replaces them.
        program: to start instead of the container's own.
        name: of the endpoint, which KServe substitutes for ``{{.Name}}``.
        settings: further arguments, and those that differ here; an empty value stands for a flag without one.
    """
    arguments = {}
    for argument in container.get("args", []):
        flag, _, value = argument.partition("=")
        arguments[flag] = re.sub(r"\{\{\s*\.Name\s*\}\}", name, value)
    arguments |= settings
    return [*program, *(f"{flag}={value}" if value else flag for flag, value in arguments.items())]


def read(file: Path) -> Manifest:
    """Read a manifest of one object.

    Raises:
        LooplineError: it is missing or not YAML.
    """
    try:
        manifest: Manifest = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise LooplineError(f"{file} cannot be read: {error}") from error
    return manifest

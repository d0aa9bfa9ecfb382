"""Checks of what the pods of a pipeline version need: Secrets, a ConfigMap and images."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from loopline.checks import INCONCLUSIVE, CheckResult, run_check
from loopline.cluster import image_registry, stage_pods
from loopline.cluster.kfp_client import PipelineVersion
from loopline.cluster.kube import Kube
from loopline.cluster.objects import INTERFACE
from loopline.components.errors import LooplineError
from loopline.images import catalogue

IMAGE_LABEL = "dev.loopline.interface"


def secrets(kube: Kube, stages: Iterable[str]) -> Iterator[CheckResult]:
    """Check that the Secrets and the ConfigMap of some stages exist and have the keys that the pods read."""
    required: dict[str, set[str]] = {}
    for stage in stages:
        for name, variables in stage_pods.STAGES[stage].secrets.items():
            required.setdefault(name, set()).update(variables)
    for name, keys in sorted(required.items()):
        yield run_check(f"Secret {name}", partial(_has_keys, "Secret", name, keys, kube.secret_keys, kube))
    if "loopline-s3" in required:
        name, keys = "loopline-object-store", set(stage_pods.OBJECT_STORE)
        yield run_check(f"ConfigMap {name}", partial(_has_keys, "ConfigMap", name, keys, kube.config_map_keys, kube))


def images(kube: Kube, version: PipelineVersion) -> list[CheckResult]:
    """Check that each image of a version is in its registry, and has the interface it was compiled with."""
    check = f"pipeline {version.name}"
    try:
        compiled = kube.version_annotations(version.name) or {}
    except INCONCLUSIVE:
        compiled = {}
    except LooplineError as error:
        return [CheckResult(check, "failed", str(error))]
    results, unreadable = [], set()
    for image in version.images:
        registry = image_registry.Reference.parse(image).registry
        if registry in unreadable:
            continue
        try:
            results.append(_image(image, version, compiled))
        except image_registry.RegistryError as error:
            unreadable.add(registry)
            results.append(CheckResult(check, "skipped", str(error)))
    if all(result.status == "ok" for result in results):
        return [CheckResult(check, "ok", f"its {len(results)} images are in their registry")]
    return [result for result in results if result.status != "ok"]


def _has_keys(kind: str, name: str, keys: set[str], read: Callable[[str], set[str] | None], kube: Kube) -> CheckResult:
    check, existing = f"{kind} {name}", read(name)
    if existing is None:
        return CheckResult(
            check,
            "failed",
            f"there is no {kind} {name} in namespace {kube.namespace}; create it with the keys {_list(keys)}",
        )
    if keys - existing:
        return CheckResult(
            check, "failed", f"{kind} {name} in namespace {kube.namespace} lacks the keys {_list(keys - existing)}"
        )
    return CheckResult(check, "ok", f"has {_list(keys)}")


def _image(image: str, version: PipelineVersion, compiled: dict[str, str]) -> CheckResult:
    check = f"pipeline {version.name}"
    labels = image_registry.labels(image)
    if labels is None:
        return CheckResult(
            check,
            "failed",
            f"image {image} of version {version.name} is not in its registry; run `make images` and `loopline push`, "
            "or correct `images` in the kustomization of the overlay",
        )
    expected, actual = compiled.get(f"{INTERFACE}{catalogue.stage_of(image)}"), labels.get(IMAGE_LABEL)
    if expected and actual and expected != actual:
        return CheckResult(
            check,
            "failed",
            f"pipeline version {version.name} was compiled at another code revision than the image {image}; "
            "run `make compile` at the revision of the image, or build, push and pin images of this revision",
        )
    return CheckResult(check, "ok", image)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

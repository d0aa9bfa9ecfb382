"""What the pods of a pipeline's version need on a cluster: Secrets, settings and images."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from loopline.checks import INCONCLUSIVE, CheckResult, run_check
from loopline.cluster import image_registry, placement
from loopline.cluster.kube import Kube
from loopline.cluster.objects import INTERFACE
from loopline.cluster.server import Version
from loopline.components.errors import LooplineError
from loopline.images import catalogue

IMAGE_LABEL = "dev.loopline.interface"


def secrets(kube: Kube, stages: Iterable[str]) -> Iterator[CheckResult]:
    """Whether the Secrets and the ConfigMap that the pods of some stages name are there, with the keys they name."""
    wanted: dict[str, set[str]] = {}
    for stage in stages:
        for name, variables in placement.STAGES[stage].secrets.items():
            wanted.setdefault(name, set()).update(variables)
    for name, keys in sorted(wanted.items()):
        yield run_check(f"Secret {name}", partial(_held, "Secret", name, keys, kube.secret_keys, kube))
    if "loopline-s3" in wanted:
        name, keys = "loopline-object-store", set(placement.OBJECT_STORE)
        yield run_check(f"ConfigMap {name}", partial(_held, "ConfigMap", name, keys, kube.config_map_keys, kube))


def images(kube: Kube, version: Version) -> list[CheckResult]:
    """Whether each image of a version was pushed, and holds the code that the version was compiled with."""
    subject = f"pipeline {version.name}"
    try:
        compiled = kube.version_annotations(version.name) or {}
    except INCONCLUSIVE:
        compiled = {}
    except LooplineError as error:
        return [CheckResult(subject, "failed", str(error))]
    found, silent = [], set()
    for image in version.images:
        registry = image_registry.Reference.parse(image).registry
        if registry in silent:  # it would not tell us of this one either
            continue
        try:
            found.append(_image(image, version, compiled))
        except image_registry.RegistryError as error:
            silent.add(registry)
            found.append(CheckResult(subject, "skipped", str(error)))
    if all(result.status == "ok" for result in found):
        return [CheckResult(subject, "ok", f"its {len(found)} images are in their registry")]
    return [result for result in found if result.status != "ok"]


def _held(kind: str, name: str, keys: set[str], keys_of: Callable[[str], set[str] | None], kube: Kube) -> CheckResult:
    subject, there = f"{kind} {name}", keys_of(name)
    if there is None:
        return CheckResult(
            subject,
            "failed",
            f"there is no {kind} {name} in namespace {kube.namespace}; make it with keys {_list(keys)}",
        )
    if keys - there:
        return CheckResult(
            subject, "failed", f"{kind} {name} in namespace {kube.namespace} lacks the keys {_list(keys - there)}"
        )
    return CheckResult(subject, "ok", f"has {_list(keys)}")


def _image(image: str, version: Version, compiled: dict[str, str]) -> CheckResult:
    subject = f"pipeline {version.name}"
    labels = image_registry.labels(image)
    if labels is None:
        return CheckResult(
            subject,
            "failed",
            f"image {image} of version {version.name} is not in its registry; `make images` and `loopline push`, "
            "or correct the images block of the overlay",
        )
    wanted, held = compiled.get(f"{INTERFACE}{catalogue.stage_of(image)}"), labels.get(IMAGE_LABEL)
    if wanted and held and wanted != held:
        return CheckResult(
            subject,
            "failed",
            f"pipeline version {version.name} was compiled at another code revision than the image {image}; "
            "`make compile` at the revision of the image, or build, push and pin images of this one",
        )
    return CheckResult(subject, "ok", image)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

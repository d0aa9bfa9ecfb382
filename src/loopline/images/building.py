"""Build images: parents first, and only those that do not exist yet."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loopline import project
from loopline.components.contract.usecase import REQUIREMENTS, UseCase
from loopline.images import catalogue, code
from loopline.images.builder import Builder
from loopline.images.catalogue import Image
from loopline.images.requirements import expect_installable

LOGS = project.ROOT / "build" / "images"
INTERFACE_LABEL = "dev.loopline.interface"


@dataclass(frozen=True)
class Built:
    """An image that exists now.

    Attributes:
        image: which.
        reference: its name and tag.
        seconds: what building it took; 0.0 if it existed already.
        size: its bytes, parents included; None if the builder does not report it.
        beyond_system: its bytes without the operating system and Python; None likewise.
    """

    image: Image
    reference: str
    seconds: float
    size: int | None
    beyond_system: int | None


def build_images(builder: Builder, images: list[Image], case: UseCase, on_build: Callable[[str], None]) -> list[Built]:
    """Build images whose tag does not exist yet; images with the same parent in parallel.

    Args:
        builder: what builds.
        images: which, parents first.
        case: a use case; if the project does not hold it, every published image gets it in a last layer.
        on_build: called with the name and tag of each image before it is built.

    Raises:
        LooplineError: one could not be built, or the use case asks for packages that the lock does not allow.
    """
    outside = catalogue.outside(case)
    expect_installable(case)

    def build(image: Image) -> Built:
        reference = catalogue.reference(image)
        seconds = _build(builder, image, reference, on_build)
        if outside and image.published:
            parent, reference = reference, catalogue.reference(image, outside)
            seconds += _add_usecase(builder, image, parent, reference, outside, on_build)
        system, size = builder.size(system_image()), builder.size(reference)
        return Built(image, reference, seconds, size, size - system if size and system else None)

    built: list[Built] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while len(built) < len(images):
            done = {finished.image.name for finished in built}
            built += pool.map(build, [i for i in images if i.name not in done and i.parent in {"", *done}])
    return built


def system_image() -> str:
    """The image of Python and the operating system, the lowest parent."""
    text = project.path(catalogue.IMAGES["base"].dockerfile).read_text(encoding="utf-8")
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)
    assert found  # noqa: S101 - our own file, and tested
    return found[1]


def labels(image: Image) -> dict[str, str]:
    """The labels of an image: where it comes from, and the KFP interface that it serves."""
    known = {
        "org.opencontainers.image.title": image.repository,
        "org.opencontainers.image.version": project.version(),
        "org.opencontainers.image.revision": _git("rev-parse", "HEAD"),
        "org.opencontainers.image.source": _without_account(_git("remote", "get-url", "origin")),
        INTERFACE_LABEL: code.interface_digest(image.interface) if image.interface else "",
    }
    return {name: value for name, value in known.items() if value}


def _build(builder: Builder, image: Image, reference: str, on_build: Callable[[str], None]) -> float:
    args = {}
    if image.parent:
        args["BASE_IMAGE"] = catalogue.reference(catalogue.IMAGES[image.parent])
    if image.published:
        args["REVISION"] = reference.partition(":")[2]
    return _timed(builder, project.ROOT, project.path(image.dockerfile), reference, args, labels(image), on_build)


def _add_usecase(
    builder: Builder, image: Image, parent: str, reference: str, outside: UseCase, on_build: Callable[[str], None]
) -> float:
    args = {"BASE_IMAGE": parent, "REVISION": reference.partition(":")[2]}
    with tempfile.TemporaryDirectory() as context:
        requirements = outside.folder / REQUIREMENTS
        installed = requirements.read_text(encoding="utf-8") if image.reads_sources and requirements.is_file() else ""
        (Path(context) / REQUIREMENTS).write_text(installed, encoding="utf-8")
        target = Path(context) / "package" / outside.package.replace(".", "/")
        shutil.copytree(outside.folder, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        dockerfile = project.path(catalogue.USECASE_DOCKERFILE)
        return _timed(builder, Path(context), dockerfile, reference, args, {}, on_build)


def _timed(
    builder: Builder,
    context: Path,
    dockerfile: Path,
    reference: str,
    args: dict[str, str],
    labels: dict[str, str],
    on_build: Callable[[str], None],
) -> float:
    if builder.has(reference):
        return 0.0
    on_build(reference)
    begun = time.monotonic()
    builder.build(context, dockerfile, reference, args, labels, LOGS / f"{reference.replace(':', '-')}.log")
    return time.monotonic() - begun


def _git(*arguments: str) -> str:
    """The output of git for this project; empty outside of a checkout."""
    if not shutil.which("git"):
        return ""
    done = subprocess.run(["git", "-C", str(project.ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_account(url: str) -> str:
    """A web address without the account or token that it may carry; nothing for any other kind of address."""
    return re.sub(r"^https://[^/@]*@", "https://", url) if url.startswith("https://") else ""

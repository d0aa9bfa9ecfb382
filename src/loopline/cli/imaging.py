"""``loopline images``, ``push``, ``pin``, ``sbom``: from code to images, to a registry, into an overlay."""

import time

from rich.console import Console
from rich.table import Table

from loopline import project
from loopline.components.contract import usecase
from loopline.images import catalogue
from loopline.images.builder import Builder
from loopline.images.building import Built, build_images
from loopline.images.pin import overlay_file
from loopline.images.pin import pin as pin_overlay
from loopline.images.push import push_images
from loopline.images.sbom import write_sbom


def build(names: list[str], package: str, console: Console) -> None:
    """Build images and print what they weigh.

    Raises:
        LooplineError: there is no builder, or an image could not be built.
    """
    images = catalogue.chosen(names)
    case = usecase.load(package)
    builder = Builder.find()
    begun = time.monotonic()
    built = build_images(
        builder, images, case, lambda reference: console.print(f"building {reference}", highlight=False)
    )
    console.print(_sizes(built))
    console.print(f"{time.monotonic() - begun:.1f} s with {builder.program}", highlight=False)


def push(registry: str, package: str, console: Console) -> None:
    """Push the published images and print their digests.

    Raises:
        LooplineError: an image is not built, or the registry does not take one.
    """
    case = usecase.load(package)
    digests = push_images(
        Builder.find(), registry, case, lambda name: console.print(f"pushing {name}", highlight=False)
    )
    for reference, digest in digests.items():
        console.print(f"{registry}/{reference.partition(':')[0]}@{digest}", highlight=False, soft_wrap=True)


def pin(overlay: str, registry: str, package: str, console: Console) -> None:
    """Write images and suffix of an overlay and print them.

    Raises:
        LooplineError: no such overlay, or an image is not built or not pushed.
    """
    file = overlay_file(overlay)
    case = usecase.load(package)
    entries = pin_overlay(file, registry, None if registry else Builder.find(), case)
    for entry in entries:
        image = entry.get("newName", entry["name"])
        version = f"@{entry['digest']}" if "digest" in entry else f":{entry['newTag']}"
        console.print(image + version, highlight=False, soft_wrap=True)
    console.print(f"written to {file}", highlight=False)


def list_contents(names: list[str], console: Console) -> None:
    """Write the bill of materials of images to build/sbom.

    Raises:
        LooplineError: an image is not built.
    """
    builder = Builder.find()
    for image in catalogue.chosen(names):
        if image.published:
            path, count = write_sbom(builder, image, project.ROOT / "build" / "sbom")
            console.print(f"{path.relative_to(project.ROOT)}: {count} components", highlight=False)


def _sizes(built: list[Built]) -> Table:
    table = Table("image", "tag", "MB", "MB beyond system and Python", "built in", box=None, header_style="bold")
    for image in built:
        name, _, tag = image.reference.partition(":")
        took = f"{image.seconds:.1f} s" if image.seconds else "was there"
        table.add_row(name, tag, _megabytes(image.size), _megabytes(image.beyond_system), took)
    return table


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.0f}"

"""Pinning: the images of an overlay are those that hold this code, by tag or by digest in a registry.

A PipelineVersion cannot be changed, so with other images it has to have another name: the overlay's suffix for these
names is a digest of its images, and both are written together, into one file.
"""

import re
from pathlib import Path

import yaml

from loopline import project
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest
from loopline.images import catalogue
from loopline.images.builder import Builder
from loopline.images.catalogue import IMAGES, PREFIX
from loopline.images.push import pushed_digest

OVERLAYS = project.path("kustomize/overlays")
_BLOCK = re.compile(r"^images:\n(?:[ -].*\n)+", re.MULTILINE)
_SUFFIX = re.compile(r"^( +suffix: -)[0-9a-f]{8}$", re.MULTILINE)

Entry = dict[str, str]


def overlay_file(overlay: str) -> Path:
    """The kustomization.yaml of an overlay.

    Raises:
        LooplineError: there is no such overlay.
    """
    file = OVERLAYS / overlay / "kustomization.yaml"
    if not file.is_file():
        known = sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))
        raise LooplineError(f"there is no overlay '{overlay}' in {OVERLAYS}; there are {', '.join(known)}")
    return file


def pin(file: Path, registry: str, builder: Builder | None, case: UseCase) -> list[Entry]:
    """Write the images of this code into an overlay, and the suffix that follows from them.

    Args:
        file: its kustomization.yaml.
        registry: where they were pushed to: pins by digest. Empty: pins by tag those that are on this machine.
        builder: looks up what is on this machine; not needed with a registry.
        case: the use case that the images are for.

    Returns:
        the images block.

    Raises:
        LooplineError: an image was not built or not pushed, or the file is laid out in another way. Nothing is written.
    """
    outside = catalogue.outside(case)
    text = file.read_text(encoding="utf-8")
    entries = [_entry(name, registry, builder, outside) for name in _names(text, file)]
    atomic.write_text(file, with_images(text, entries))
    return entries


def with_images(text: str, entries: list[Entry]) -> str:
    """The text of a kustomization.yaml with other images and the suffix that belongs to them."""
    lines = [f"  - {{{', '.join(f'{key}: {_scalar(value)}' for key, value in entry.items())}}}\n" for entry in entries]
    text = _BLOCK.sub(lambda _: "images:\n" + "".join(lines), text)
    return _SUFFIX.sub(lambda found: found[1] + suffix(entries), text)


def suffix(entries: list[Entry]) -> str:
    """Eight hex digits that change with an overlay's images."""
    return digest.of_value(entries).removeprefix(digest.PREFIX)[:8]


def _names(text: str, file: Path) -> list[str]:
    """The images that the overlay uses.

    Raises:
        LooplineError: there is not exactly one images block and one suffix, or an image that is not built here.
    """
    if len(_BLOCK.findall(text)) != 1 or len(_SUFFIX.findall(text)) != 1:
        raise LooplineError(
            f"{file} needs one block `images:` and one line `suffix: -` with eight hex digits, as other overlays have"
        )
    names = [entry["name"] for entry in yaml.safe_load(text)["images"]]
    strangers = [name for name in names if name.removeprefix(PREFIX) not in IMAGES]
    if strangers:
        raise LooplineError(f"{file} names images that this project does not build: {', '.join(strangers)}")
    return names


def _entry(name: str, registry: str, builder: Builder | None, outside: UseCase | None) -> Entry:
    image = IMAGES[name.removeprefix(PREFIX)]
    if registry:
        place = f"{registry.rstrip('/')}/{image.repository}"
        return {"name": name, "newName": place, "digest": pushed_digest(registry, image, outside)}
    reference = catalogue.reference(image, outside)
    if builder and not builder.has(reference):
        ask = f" {image.name}" if image.name in catalogue.ON_REQUEST else ""
        raise LooplineError(f"{reference} is not built; run `loopline images{ask}` first")
    return {"name": name, "newTag": catalogue.tag(image, outside)}


def _scalar(value: str) -> str:
    """A value as YAML: a tag of digits, perhaps with an e among them, needs quotes, or it is a number."""
    return f'"{value}"' if re.fullmatch(r"[0-9.]+(e[0-9]+)?", value) else value

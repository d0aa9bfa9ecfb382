"""Push images to a registry, and record their digests there."""

import json
from collections.abc import Callable

from loopline import project
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.images import catalogue
from loopline.images.builder import Builder
from loopline.images.catalogue import IMAGES, ON_REQUEST, Image

PUSHED = project.ROOT / "build" / "images" / "pushed.json"


def push_images(builder: Builder, registry: str, case: UseCase, on_push: Callable[[str], None]) -> dict[str, str]:
    """Push every published image; those on request only if they were built.

    Args:
        builder: what pushes.
        registry: where to, for example ``ghcr.io/acme``.
        case: the use case that the images are for.
        on_push: called with the name and tag of each image before it is pushed.

    Returns:
        the digest in the registry by the name and tag pushed.

    Raises:
        LooplineError: an image is not built (then nothing is pushed), or the registry refuses one.
    """
    outside = catalogue.outside(case)
    references = {image.name: catalogue.reference(image, outside) for image in IMAGES.values() if image.published}
    there = {name: reference for name, reference in references.items() if builder.has(reference)}
    missing = [name for name in references if name not in there and name not in ON_REQUEST]
    if missing:
        raise LooplineError(f"not built as the code is now: {', '.join(missing)}; run `make images` first")
    digests = {}
    for reference in there.values():
        on_push(reference)
        digests[reference] = builder.push(reference, f"{registry.rstrip('/')}/{reference}")
        _remember(registry.rstrip("/"), reference, digests[reference])
    return digests


def pushed_digest(registry: str, image: Image, outside: UseCase | None) -> str:
    """The digest that an image, as the code is now, got in a registry.

    Raises:
        LooplineError: it was not pushed there.
    """
    reference = catalogue.reference(image, outside)
    found = _pushed().get(registry.rstrip("/"), {}).get(reference)
    if not found:
        raise LooplineError(
            f"{reference}, which holds the code as it is now, was not pushed to {registry}; "
            f"run `loopline push {registry}` first"
        )
    return found


def _pushed() -> dict[str, dict[str, str]]:
    return dict(json.loads(PUSHED.read_text(encoding="utf-8"))) if PUSHED.is_file() else {}


def _remember(registry: str, reference: str, digest: str) -> None:
    known = _pushed()
    known.setdefault(registry, {})[reference] = digest
    atomic.write_text(PUSHED, json.dumps(known, indent=1, sort_keys=True) + "\n")

"""Which images there are, what goes into each, and the tag that follows from that."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from components.contract import digest
from components.contract.errors import LooplineError
from components.contract.usecase import UseCase
from pipelines.compiler import PROJECT, STAGES

PREFIX = "loopline-"
SHARED = ("components/__init__.py", "components/contract", "usecases")
USECASES = PROJECT / "usecases"
USECASE_DOCKERFILE = "images/usecase/Dockerfile"
DECLARATION = "pyproject.toml"
# Extras that no image installs.
NOT_IN_IMAGES = frozenset({"laptop", "dev"})


@dataclass(frozen=True)
class Image:
    """One image of the project.

    Attributes:
        name: without ``loopline-``.
        dockerfile: its Dockerfile, relative to the project, like all paths here.
        content: the files and folders that it copies.
        parent: the name of the image that it stands on; empty for the one that stands on Python's.
        published: whether something runs it; else it is a parent of others and nothing more.
        interface: the stage whose KFP interface the code in it serves; empty if none.
    """

    name: str
    dockerfile: str
    content: tuple[str, ...]
    parent: str = "base"
    published: bool = True
    interface: str = ""

    @property
    def repository(self) -> str:
        """Its full name without a tag."""
        return PREFIX + self.name


def _stage(stage: str, name: str = "", parent: str = "base") -> Image:
    folder = f"components/{stage}"
    return Image(name or stage, f"{folder}/Dockerfile", (*SHARED, folder), parent, interface=stage)


_BASE = Image("base", "images/base/Dockerfile", ("images/base", DECLARATION, "constraints.txt"), "", False)
_SPARK = Image("spark", "images/spark/Dockerfile", (*SHARED, "images/spark", "components/inference"))
_SERVING = Image("serving", "components/serving/Dockerfile", (*SHARED, "components/serving"))
_PIPELINES = Image(
    "pipelines", "images/pipelines/Dockerfile", ("images/pipelines", "components", "pipelines", "usecases")
)
_CUDA = Image("cuda", "images/cuda/Dockerfile", (), published=False)
_TRAINING_CUDA = _stage("training", "training-cuda", "cuda")

# Parents before what stands on them.
IMAGES = {
    image.name: image for image in (_BASE, *map(_stage, STAGES), _SERVING, _PIPELINES, _SPARK, _CUDA, _TRAINING_CUDA)
}
# Gigabytes of CUDA libraries are for those who have a GPU pool and ask for them by name.
ON_REQUEST = frozenset({"cuda", "training-cuda"})
PUBLISHED = tuple(image.name for image in IMAGES.values() if image.published)


def chosen(names: list[str]) -> list[Image]:
    """The named images and their parents in the order of building; without names, all but those on request.

    Raises:
        LooplineError: there is no image of that name.
    """
    for name in names:
        if name not in IMAGES:
            raise LooplineError(f"there is no image '{name}'; there are {', '.join(IMAGES)}")
    wanted = set(names) or set(IMAGES) - ON_REQUEST
    for image in reversed(IMAGES.values()):
        if image.name in wanted and image.parent:
            wanted.add(image.parent)
    return [image for image in IMAGES.values() if image.name in wanted]


def tag(image: Image, outside: UseCase | None = None) -> str:
    """Sixteen hex digits that change with anything that goes into an image, its parents included.

    Args:
        image: which.
        outside: a use case that is added in a last layer.
    """
    parts: list[object] = [tag(IMAGES[image.parent])] if image.parent else []
    parts += [{path: _digest(path)} for path in (image.dockerfile, *image.content)]
    if outside:
        parts += [digest.of_file(PROJECT / USECASE_DOCKERFILE), {outside.package: outside.code_digest()}]
    return digest.of_value(parts).removeprefix(digest.PREFIX)[:16]


def reference(image: Image, outside: UseCase | None = None) -> str:
    """Name and tag of an image as this code makes it."""
    return f"{image.repository}:{tag(image, outside)}"


def _digest(path: str) -> str:
    """Digest of a file or folder of the project; of the declaration, only what concerns images.

    A setting of a linter is no reason to install every package again.
    """
    if path != DECLARATION:
        return digest.of_tree(PROJECT / path)
    with (PROJECT / path).open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = {
        name: packages for name, packages in project["optional-dependencies"].items() if name not in NOT_IN_IMAGES
    }
    return digest.of_value([project["version"], project["requires-python"], project["dependencies"], extras])


def environment(stage: str) -> str:
    """Digest of what a stage's image has below its code: parents, packages, Dockerfile."""
    image = IMAGES[stage]
    return digest.of_value([tag(IMAGES[image.parent]), digest.of_file(PROJECT / image.dockerfile)])


def outside(case: UseCase) -> UseCase | None:
    """The use case if the images do not hold it anyway, because it does not lie in this project's ``usecases/``."""
    return None if Path(case.folder).resolve().is_relative_to(USECASES) else case

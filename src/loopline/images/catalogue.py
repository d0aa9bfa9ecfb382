"""Which images there are, what goes into each, and the tag that follows from that."""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from loopline import project
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import digest

PREFIX = "loopline-"
STAGES = ("data", "features", "training", "validation", "registry", "inference", "deployment")
USECASES = "usecases"
USECASE_DOCKERFILE = "images/usecase/Dockerfile"
# Extras that no image installs.
NOT_IN_IMAGES = frozenset({"laptop", "dev"})


@dataclass(frozen=True)
class Image:
    """One image of the project.

    Attributes:
        name: without ``loopline-``.
        dockerfile: its Dockerfile, relative to the project, like all paths here.
        parent: the name of its parent image; empty for the one whose parent is Python's.
        published: whether something runs it; otherwise it is only a parent of others.
        interface: the stage whose KFP interface the code in it serves; empty if none.
    """

    name: str
    dockerfile: str
    parent: str = "base"
    published: bool = True
    interface: str = ""

    @property
    def repository(self) -> str:
        """Its full name without a tag."""
        return PREFIX + self.name

    @cached_property
    def content(self) -> tuple[str, ...]:
        """The files and folders that its Dockerfile copies, in order."""
        copied = re.findall(r"^COPY (?!--from)(.+)$", self._text, re.MULTILINE)
        return tuple(source for line in copied for source in line.split()[:-1])

    @property
    def reads_sources(self) -> bool:
        """Whether its stage runs the source of a use case, so that it installs what that imports."""
        return "COPY --from=requirements " in self._text

    @cached_property
    def _text(self) -> str:
        return project.path(self.dockerfile).read_text(encoding="utf-8").replace("\\\n", " ")


def _stage(stage: str, name: str = "", parent: str = "base") -> Image:
    return Image(name or stage, f"components/{stage}/Dockerfile", parent, interface=stage)


_BASE = Image("base", "images/base/Dockerfile", "", published=False)
_SPARK = Image("spark", "images/spark/Dockerfile")
_SERVING = Image("serving", "components/serving/Dockerfile")
_PIPELINES = Image("pipelines", "images/pipelines/Dockerfile")
_CUDA = Image("cuda", "images/cuda/Dockerfile", published=False)
_TRAINING_CUDA = _stage("training", "training-cuda", "cuda")

# Parents before their children.
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
        parts += [digest.of_file(project.path(USECASE_DOCKERFILE)), {outside.package: outside.code_digest()}]
    return digest.of_value(parts).removeprefix(digest.PREFIX)[:16]


def reference(image: Image, outside: UseCase | None = None) -> str:
    """Name and tag of an image as this code makes it."""
    return f"{image.repository}:{tag(image, outside)}"


def _digest(path: str) -> str:
    """Digest of a file or folder of the project; of the declaration, only what concerns images.

    A setting of a linter is no reason to install every package again.
    """
    if path != project.DECLARATION:
        return digest.of_tree(project.path(path))
    with project.path(path).open("rb") as file:
        declared = tomllib.load(file)["project"]
    extras = {
        name: packages for name, packages in declared["optional-dependencies"].items() if name not in NOT_IN_IMAGES
    }
    return digest.of_value([declared["version"], declared["requires-python"], declared["dependencies"], extras])


def stage_of(image: str) -> str:
    """The stage whose code an image holds, from its name in whatever registry; empty if no stage builds it."""
    match = re.fullmatch(r"(?:.*/)?loopline-([a-z]+)(?:-cuda)?(?:[:@].*)?", image)
    return match[1] if match and match[1] in STAGES else ""


def environment(stage: str) -> str:
    """Digest of what a stage's image has below its code: parents, packages, Dockerfile."""
    image = IMAGES[stage]
    return digest.of_value([tag(IMAGES[image.parent]), digest.of_file(project.path(image.dockerfile))])


def outside(case: UseCase) -> UseCase | None:
    """The use case if the images do not hold it anyway, because it does not lie in this project's ``usecases/``."""
    return None if Path(case.folder).resolve().is_relative_to(project.path(USECASES)) else case

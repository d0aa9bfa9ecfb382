"""The code that images hold, by digest: what a run was compiled for, and what a cached step depends on."""

from loopline import project
from loopline.components.contract.usecase import UseCase
from loopline.components.io import digest
from loopline.images import catalogue


def stage_code(stage: str) -> dict[str, str]:
    """Digest of each Python file in a stage's image, by path in the project, without use cases."""
    found = {}
    for name in catalogue.IMAGES[stage].content:
        path = project.path(name)
        if path.is_dir() and name != catalogue.USECASES:
            found.update({f"{name}/{file}": value for file, value in digest.of_files(path, "*.py").items()})
        elif path.suffix == ".py":
            found[name] = digest.of_file(path)
    return found


def interface_digest(stage: str) -> str:
    """Digest of a stage's KFP interface, components/<stage>/component.py.

    A pipeline freezes the interface and an image holds the code behind it; both carry this digest, so that a pipeline
    compiled at another revision than the image is detected.
    """
    return digest.of_file(project.path(f"components/{stage}/component.py"))


def code_tags(case: UseCase | None = None) -> dict[str, str]:
    """The tag of each stage's image that holds exactly this code: what a laptop run compiles with.

    It changes with anything that goes into the image: its stage, the contract, the use cases, Dockerfiles, the lock.

    Args:
        case: a use case; if the project does not hold it, it is counted as well.
    """
    outside = catalogue.outside(case) if case else None
    return {stage: catalogue.tag(catalogue.IMAGES[stage], outside) for stage in catalogue.STAGES}

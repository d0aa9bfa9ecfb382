"""Where the files of this distribution are: in a checkout, in an installed wheel or in an image.

A wheel holds everything below the package; an image holds the packages and, beside them, the lock.
"""

import tomllib
from pathlib import Path

from loopline.components.io import digest

PACKAGE = Path(__file__).resolve().parent
DECLARATION, LOCK = "pyproject.toml", "constraints.txt"
# A checkout has the declaration two folders up, an image one; a wheel has it in the package itself.
ROOT = next((folder for folder in (PACKAGE.parents[1], PACKAGE.parent) if (folder / DECLARATION).is_file()), PACKAGE)
# Folders of the project that are packages below `loopline`, wherever it is installed.
PACKAGES = ("components", "pipelines", "usecases")
SOURCE = Path("src/loopline")


def path(name: str | Path) -> Path:
    """A file or folder of the project.

    Args:
        name: its path relative to a checkout, for example ``components/data/Dockerfile``.
    """
    relative = Path(name)
    if relative.is_relative_to(SOURCE):
        return PACKAGE / relative.relative_to(SOURCE)
    return ((PACKAGE if relative.parts[0] in PACKAGES else ROOT) / relative).resolve()


def version() -> str:
    """The version in pyproject.toml: the tag of images in committed manifests."""
    with path(DECLARATION).open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def lock_digest() -> str:
    """Digest of constraints.txt, the one lock."""
    return digest.of_file(path(LOCK))

"""A use case's requirements.txt: the packages that its source imports, held against the one lock."""

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from loopline import project
from loopline.components.contract.usecase import REQUIREMENTS, UseCase
from loopline.components.errors import LooplineError


def expect_installable(case: UseCase) -> None:
    """Refuse requirements that the images cannot keep to: every environment has the versions of constraints.txt.

    A package that the lock does not have needs an exact version, so that the same use case makes the same image.

    Raises:
        LooplineError: a line is no requirement, contradicts the lock, or has neither a locked nor an exact version.
    """
    file = case.folder / REQUIREMENTS
    if not file.is_file():
        return
    locked = _locked()
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise LooplineError(f"{file}: '{text}' is not a requirement; write for example duckdb>=1.4") from error
        version = locked.get(canonicalize_name(wanted.name))
        if version and version not in wanted.specifier:
            raise LooplineError(f"{file} asks for {text}, and constraints.txt has {wanted.name}=={version}; follow it")
        if not version and not any(part.operator == "==" for part in wanted.specifier):
            raise LooplineError(f"{file}: constraints.txt has no {wanted.name}; give its exact version, with ==")


def _locked() -> dict[str, str]:
    """Version by package name, normalised."""
    text = project.path(project.LOCK).read_text(encoding="utf-8")
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", text, re.MULTILINE)
    }

"""``loopline new-usecase``: a working copy of the flights use case, to start from."""

import keyword
import re
import shutil
from pathlib import Path

from loopline import project
from loopline.components.errors import LooplineError
from loopline.components.io import atomic

TEMPLATE = project.path("usecases/flights")


def make(name: str, folder: Path) -> Path:
    """Copy the flights use case as ``usecases/<name>`` below a folder, under its new name.

    Raises:
        LooplineError: the name is not a Python name, or it is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise LooplineError(
            f"'{name}' cannot be a package: use lower-case letters, digits and underscores, a letter first"
        )
    target = folder / "usecases" / name
    if target.exists():
        raise LooplineError(f"{target} exists already; choose another name or remove it")
    with atomic.new_folder(target) as partial:
        for file in sorted(TEMPLATE.iterdir()):
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
        spec = partial / "usecase.yaml"
        spec.write_text(
            spec.read_text(encoding="utf-8").replace("\nname: flights\n", f"\nname: {name}\n", 1), encoding="utf-8"
        )
    return target

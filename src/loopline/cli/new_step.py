"""``loopline new-step``: a step, its adapter with its declaration, and a test that passes, to start from."""

import keyword
import re
from pathlib import Path
from string import Template

from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.images import catalogue

STEP = '''"""$title: say in one line what the step does."""

from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.components.io import atomic


def $name(given: str, made: str) -> int:
    """Copy the lines of a text that are not blank.

    Args:
        given: file to read, UTF-8.
        made: file to write.

    Returns:
        how many lines were written.

    Raises:
        LooplineError: the file has no text.
    """
    lines = [line for line in Path(given).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise LooplineError(f"{given} has no text; give a file with at least one line")
    atomic.write_text(Path(made), "\\n".join(lines) + "\\n")
    return len(lines)
'''

ADAPTER = '''

@StepFacts(effects="none")
@dsl.component(base_image="loopline-$stage", install_kfp_package=False)
def $name(given: dsl.Input[dsl.Artifact], made: dsl.Output[dsl.Artifact]) -> None:
    """Copy the lines of a text that are not blank.

    Args:
        given: the text.
        made: its lines that are not blank.
    """
    from pathlib import Path

$imports

    lines = $name(given.path, made.path)
    made.metadata.update(digest=digest.of_file(Path(made.path)), lines=lines)
'''

TEST = '''"""$title: what the step makes, what it refuses, and what its adapter hands on."""

from types import SimpleNamespace

import pytest

$imports


@pytest.fixture
def given(tmp_path):
    file = tmp_path / "given.txt"
    file.write_text("one\\n\\ntwo\\n")
    return file


def test_what_it_makes(given, tmp_path):
    assert $name(str(given), str(tmp_path / "made")) == 2
    assert (tmp_path / "made").read_text() == "one\\ntwo\\n"


def test_bad_input_is_refused_in_one_sentence(given, tmp_path):
    given.write_text("\\n")
    with pytest.raises(LooplineError, match="has no text; give a file"):
        $name(str(given), str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_the_adapter_hands_on_paths_and_sets_the_digest(given, tmp_path):
    made = SimpleNamespace(path=str(tmp_path / "made"), metadata={})
    component.$name.python_func(SimpleNamespace(path=str(given)), made)
    assert made.metadata["lines"] == 2
    assert made.metadata["digest"].startswith("sha256:")
'''


def scaffold(stage: str, name: str, root: Path) -> list[Path]:
    """Write a step, its adapter and its test into a checkout.

    Args:
        stage: a folder of components/ with a component.py.
        name: of the function, its module and its test.
        root: the checkout.

    Returns:
        the files that were written or extended.

    Raises:
        LooplineError: this is no checkout, there is no such stage, or the name is no Python name or taken.
    """
    _check(stage, name, root)
    folder = root / "components" / stage
    interface = (folder / "component.py").read_text(encoding="utf-8")
    module, test = folder / f"{name}.py", root / "tests" / "unit" / stage / f"test_{stage}_{name}.py"
    if module.exists() or test.exists() or re.search(rf"^def {name}\(", interface, re.MULTILINE):
        raise LooplineError(f"stage {stage} already has {name}; choose another name")
    values = {"stage": stage, "name": name, "title": name.replace("_", " ").capitalize()}
    step = f"from loopline.components.{stage}.{name} import {name}"
    in_adapter = sorted([f"    {step}", "    from loopline.components.io import digest"])
    in_test = sorted(
        [
            step,
            f"from loopline.components.{stage} import component",
            "from loopline.components.errors import LooplineError",
        ]
    )
    atomic.write_text(module, Template(STEP).substitute(values))
    adapter = Template(ADAPTER).substitute(values, imports="\n".join(in_adapter))
    atomic.write_text(folder / "component.py", interface + adapter)
    atomic.write_text(test, Template(TEST).substitute(values, imports="\n".join(in_test)))
    return [module, folder / "component.py", test]


def _check(stage: str, name: str, root: Path) -> None:
    if not (root / "src" / "loopline").is_dir():
        raise LooplineError(
            "a step is part of a stage and its image, so this needs a checkout of Loopline: clone the repository, run "
            "`make setup` there, and call `.venv/bin/loopline new-step` again"
        )
    if stage not in catalogue.STAGES:
        raise LooplineError(f"there is no stage '{stage}'; there are {', '.join(catalogue.STAGES)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise LooplineError(f"'{name}' cannot be a function: use lower-case letters, digits and underscores")

"""Dockerfiles: every stage has one, it states only its difference, and code comes after dependencies."""

import ast
import re
import tomllib

import pytest

from loopline.images import building, catalogue
from loopline.images.catalogue import IMAGES, USECASE_DOCKERFILE
from loopline.project import ROOT as PROJECT

DOCKERFILES = sorted({image.dockerfile for image in IMAGES.values()} | {USECASE_DOCKERFILE})
RUNNABLE = sorted({image.dockerfile for image in IMAGES.values() if image.published})
# Every child has to name its parent, and takes back the root that it needs to install.
OF_EVERY_CHILD = ("FROM", "ARG BASE_IMAGE", "USER")


def instructions(dockerfile: str) -> list[str]:
    """Its instructions, continued lines joined, without comments."""
    text = (PROJECT / dockerfile).read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [re.sub(r"\s+", " ", line) for line in "\n".join(lines).replace("\\\n", " ").splitlines()]


def repeated(child: list[str], parent: list[str]) -> list[str]:
    """Instructions of a parent that a child states again."""
    return [line for line in child if line in parent and not line.startswith(OF_EVERY_CHILD)]


def test_every_stage_with_a_kfp_interface_has_a_dockerfile_and_an_image():
    stages = {file.parent.name for file in (PROJECT / "components").glob("*/component.py")}
    assert set(catalogue.STAGES) <= stages
    for stage in catalogue.STAGES:
        assert (PROJECT / "components" / stage / "Dockerfile").is_file(), f"stage {stage} has no Dockerfile"
        assert IMAGES[stage].interface == stage


@pytest.mark.parametrize("name", [image.name for image in IMAGES.values() if image.parent])
def test_no_dockerfile_repeats_a_line_of_its_parent(name):
    image = IMAGES[name]
    parent = instructions(IMAGES[image.parent].dockerfile)
    assert repeated(instructions(image.dockerfile), parent) == []


def test_a_repeated_line_would_be_found():
    parent = instructions("images/base/Dockerfile")
    child = [*instructions("components/data/Dockerfile"), "WORKDIR /opt/loopline"]
    assert repeated(child, parent) == ["WORKDIR /opt/loopline"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_images_run_without_root(dockerfile):
    users = [line for line in instructions(dockerfile) if line.startswith("USER")]
    assert users in ([], ["USER 65532:65532"], ["USER 0", "USER 65532:65532"])
    if not users:  # then it is as its parent
        assert dockerfile in {USECASE_DOCKERFILE, IMAGES["cuda"].dockerfile}


@pytest.mark.parametrize("dockerfile", RUNNABLE)
def test_code_is_copied_after_everything_is_installed(dockerfile):
    lines = instructions(dockerfile)
    last_install = max(index for index, line in enumerate(lines) if line.startswith("RUN"))
    code = [i for i, line in enumerate(lines) if re.match(r"COPY (components|pipelines|src|usecases)", line)]
    assert code
    assert min(code) > last_install
    # The revision changes with the code: before an install it would have it done again.
    assert lines.index("ARG REVISION") > max(code)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_only_the_lock_says_versions(dockerfile):
    for line in instructions(dockerfile):
        assert not re.search(r"\b(pip|uv) install\b", line), "packages come through install-packages, from the lock"
        assert "latest" not in line


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_exists_and_is_in_the_tag(dockerfile):
    if dockerfile == USECASE_DOCKERFILE:
        return
    for image in (image for image in IMAGES.values() if image.dockerfile == dockerfile):
        for line in instructions(dockerfile):
            if not line.startswith("COPY") or line.startswith("COPY --from="):
                continue
            for source in line.split()[1:-1]:
                assert (PROJECT / source).exists()
                assert source in image.content, f"{source} is not in the tag"


def test_extras_that_images_install_are_declared():
    with (PROJECT / "pyproject.toml").open("rb") as file:
        declared = set(tomllib.load(file)["project"]["optional-dependencies"])
    for dockerfile in DOCKERFILES:
        for line in instructions(dockerfile):
            called = re.search(r"install-packages((?: [a-z]+(?![a-z.]))*)", line)
            if called and line.startswith("RUN"):
                assert set(called[1].split()) <= declared


def test_the_image_of_python_is_named_in_one_place():
    assert re.fullmatch(r"python:3\.11-slim-\w+", building.system_image())
    assert [f for f in DOCKERFILES if "python:" in (PROJECT / f).read_text()] == ["images/base/Dockerfile"]


def test_the_context_holds_what_images_copy_and_nothing_else():
    kept = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(kept) == ["components", "constraints.txt", "images", "pipelines", "pyproject.toml", "src", "usecases"]


def modules_of(names: set[str]) -> set[str]:
    """The modules of components/io that these modules import, directly or through one another; not the unused."""
    imported: set[str] = set()
    for name in names:
        for node in ast.walk(ast.parse((PROJECT / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {f"{name.removeprefix('loopline.').replace('.', '/')}.py" for name in imported}
    found = {name for name in files if name.startswith("components/") and (PROJECT / name).is_file()}
    return names if found <= names else modules_of(names | found)


@pytest.mark.parametrize("dockerfile", [f for f in RUNNABLE if "COPY components/io/" in (PROJECT / f).read_text()])
def test_an_image_holds_what_it_imports_of_io_and_nothing_else(dockerfile):
    """A change in a module of components/io leaves the tag of an image that does not import it alone."""
    copied = {source for line in instructions(dockerfile) if line.startswith("COPY") for source in line.split()[1:-1]}
    io = {name for name in copied if name.startswith("components/io/")}
    shared = {"components/contract", "components/pages"}
    (stage,) = {name for name in copied if re.fullmatch(r"components/\w+", name)} - shared
    code = {str(path.relative_to(PROJECT)) for path in (PROJECT / stage).rglob("*.py")}
    imported = {name for name in modules_of(code) if name.startswith("components/io/")}
    assert io == imported | {"components/io/__init__.py"}

"""Names and tags of images: a tag changes with what goes into its image, and with nothing else."""

import re
import shutil

import pytest

from loopline import project
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.images import catalogue, code
from loopline.images.catalogue import IMAGES

STAGES = catalogue.STAGES


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of what images are made of, to be changed."""
    copy = tmp_path / "project"
    for path in ("components", "usecases", "images", "pipelines", "src"):
        shutil.copytree(project.ROOT / path, copy / path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("pyproject.toml", "constraints.txt"):
        shutil.copy(project.ROOT / path, copy / path)
    monkeypatch.setattr(project, "ROOT", copy)
    monkeypatch.setattr(project, "PACKAGE", copy / "src" / "loopline")
    return copy


def tags():
    return {name: catalogue.tag(image) for name, image in IMAGES.items()}


def changed(before):
    return {name for name, tag in tags().items() if before[name] != tag}


def append(file, text="\n"):
    file.write_text(file.read_text() + text)


def test_a_stage_s_code_is_in_its_image_and_in_the_command_s(checkout):
    before = tags()
    append(checkout / "components" / "data" / "ingest.py")
    assert changed(before) == {"data", "pipelines"}
    before = tags()
    append(checkout / "components" / "training" / "fit.py")
    assert changed(before) == {"training", "training-cuda", "pipelines"}


@pytest.mark.parametrize(
    "path", ["components/contract/dataset.py", "components/io/digest.py", "usecases/flights/usecase.yaml"]
)
def test_contract_and_use_cases_are_in_every_image_that_runs_and_in_no_parent(checkout, path):
    before = tags()
    append(checkout / path)
    assert changed(before) == set(catalogue.PUBLISHED)


@pytest.mark.parametrize(
    ("module", "importing"),
    [
        ("kubernetes_api", {"training", "inference", "deployment"}),
        ("mlflow_database", {"training", "registry"}),
        ("conditional_put", {"features", "inference"}),
    ],
)
def test_plumbing_that_a_stage_does_not_import_leaves_its_image_and_its_cached_steps_alone(checkout, module, importing):
    before, held = tags(), {stage: code.stage_code(stage) for stage in STAGES}
    append(checkout / "components" / "io" / f"{module}.py")
    same_code = {"spark"} if "inference" in importing else set()
    same_code |= {"training-cuda"} if "training" in importing else set()
    assert changed(before) == importing | same_code | {"pipelines"}
    assert {stage for stage in STAGES if code.stage_code(stage) != held[stage]} == importing


@pytest.mark.parametrize("path", ["constraints.txt", "images/base/Dockerfile", "images/base/install-packages"])
def test_what_is_in_the_base_is_in_all(checkout, path):
    before = tags()
    append(checkout / path)
    assert changed(before) == set(IMAGES)


def test_a_dependency_changes_every_tag_and_a_setting_of_a_tool_none(checkout):
    declaration = checkout / "pyproject.toml"
    before = tags()
    append(declaration, "\n[tool.nothing]\nsetting = true\n")
    assert changed(before) == set()
    declaration.write_text(declaration.read_text().replace('"pyyaml>=6.0.3"', '"pyyaml>=6.0.2"'))
    assert changed(before) == set(IMAGES)


def test_what_a_source_imports_is_installed_where_it_is_read(checkout):
    assert {name for name, image in IMAGES.items() if image.reads_sources} == {"data", "deployment"}
    before = tags()
    append(checkout / "usecases" / "flights" / "requirements.txt", "pandas\n")
    assert {"data", "deployment"} <= changed(before) == set(catalogue.PUBLISHED)


def test_a_dockerfile_is_in_the_tag(checkout):
    before = tags()
    append(checkout / "components" / "registry" / "Dockerfile", "\n#\n")
    assert changed(before) == {"registry", "pipelines"}


def test_bytecode_is_no_content(checkout):
    before = tags()
    (checkout / "components" / "data" / "__pycache__").mkdir()
    (checkout / "components" / "data" / "__pycache__" / "ingest.cpython-311.pyc").write_bytes(b"x")
    assert changed(before) == set()


def test_a_tag_is_one_for_every_engine_and_for_kubernetes():
    assert all(re.fullmatch(r"[0-9a-f]{16}", tag) for tag in tags().values())
    assert all(re.fullmatch(r"loopline-[a-z-]+", image.repository) for image in IMAGES.values())


def test_a_use_case_of_another_repository_makes_another_image():
    inside, outside = usecase.load("loopline.usecases.flights"), usecase.load("tests.usecases.temperature")
    assert catalogue.outside(inside) is None
    assert catalogue.outside(outside) is outside
    assert code.code_tags(inside) == code.code_tags()
    assert not set(code.code_tags(outside).values()) & set(code.code_tags().values())


def test_parents_are_chosen_before_what_stands_on_them():
    assert [image.name for image in catalogue.chosen(["training-cuda"])] == ["base", "cuda", "training-cuda"]
    names = [image.name for image in catalogue.chosen([])]
    assert names[0] == "base"
    assert set(names) == {"base", *STAGES, "serving", "pipelines", "spark"}


def test_an_image_that_is_none_is_answered_with_those_that_are():
    with pytest.raises(LooplineError, match=r"there is no image 'trainig'; there are base, data, .*training-cuda"):
        catalogue.chosen(["trainig"])


def test_what_a_container_has_below_its_code_is_no_matter_of_code(checkout):
    before = {stage: catalogue.environment(stage) for stage in STAGES}
    append(checkout / "components" / "data" / "ingest.py")
    append(checkout / "components" / "contract" / "dataset.py")
    assert {stage: catalogue.environment(stage) for stage in STAGES} == before
    append(checkout / "components" / "data" / "Dockerfile", "\n#\n")
    assert {stage for stage in STAGES if catalogue.environment(stage) != before[stage]} == {"data"}

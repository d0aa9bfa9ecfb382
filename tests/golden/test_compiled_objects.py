"""manifests/usecases is committed: a changed interface, image, order or schedule is a diff; see `make compile`."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from loopline import project
from loopline.cluster import names, objects
from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.contract.schedule import Schedules
from loopline.components.contract.usecase import UseCase
from loopline.images import catalogue

FOLDER = project.ROOT / "manifests" / "usecases" / "flights"
# What a release needs to know of where it is.
ENVIRONMENT = ("target_uri", "overlay", "log", "owner", "wait")
RENDER = (
    "import json, sys; sys.modules['kubernetes_validate'] = None\n"  # not needed, and slow to import
    "from loopline.cluster import objects; from loopline.components.contract import usecase\n"
    "print(json.dumps(objects.rendered(usecase.load('loopline.usecases.flights'))))"
)


@pytest.fixture(scope="module")
def case():
    return usecase.load("loopline.usecases.flights")


@pytest.fixture(scope="module")
def rendered(case):
    return objects.rendered(case)


@pytest.fixture(scope="module")
def committed():
    return [
        document
        for path in sorted(FOLDER.rglob("*.yaml"))
        if path.parent.name != "model-cache"  # a component, which joins objects that have their namespace already
        for document in yaml.safe_load_all(path.read_text())
        if "metadata" in document
    ]


def test_every_use_case_of_the_project_is_committed():
    cases = objects.chosen_usecases(project.ROOT / "usecases", [])
    assert [names.usecase_name(case) for case in cases] == sorted(path.name for path in FOLDER.parent.iterdir())


def test_compiles_to_what_is_committed(case, rendered, request):
    if request.config.getoption("--rewrite"):
        objects.write(FOLDER, case)
    there = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*.yaml")}
    assert sorted(there) == sorted(rendered), "run `make compile`"
    for name, text in rendered.items():
        assert text == there[name], f"{name} compiles to something else: run `make compile` and look at the difference"


def test_same_bytes_under_another_hash_seed_zone_and_folder(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RENDER],
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(project.ROOT)},
        )
        for seed, zone, folder in (("1", "UTC", project.ROOT), ("2", "Asia/Tokyo", tmp_path))
    ]
    texts = [process.communicate()[0] for process in started]
    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1]


def test_every_step_runs_our_image_and_installs_nothing(committed):
    versions = [document for document in committed if document["kind"] == "PipelineVersion"]
    assert len(versions) == len(pipeline_ir.PIPELINES)
    for version in versions:
        for executor in version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].values():
            container = executor["container"]
            stage, _, tag = container["image"].removeprefix("loopline-").partition(":")
            assert stage in catalogue.STAGES
            assert tag == project.version()
            assert "pip install" not in " ".join(container["command"])


def test_names_are_what_kubernetes_and_kfp_take(committed):
    for document in committed:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])
    for version in committed:
        if version["kind"] == "PipelineVersion":
            assert re.fullmatch(r"[a-z-]+-[0-9a-f]{12}", version["metadata"]["name"])
            assert len(version["metadata"]["name"]) + len("-01234567") <= 63  # what an overlay appends


def test_nothing_of_an_environment(committed):
    assert all("namespace" not in document["metadata"] for document in committed)
    images = re.findall(r"image: (\S+)", "".join(path.read_text() for path in FOLDER.rglob("*.yaml")))
    assert images
    assert not [image for image in images if "/" in image]


def test_a_version_has_another_name_when_anything_in_it_changes(case, monkeypatch):
    before = objects.pipeline_objects(case, "training", "0.1.0")[1]
    assert objects.pipeline_objects(case, "training", "0.1.0")[1] == before
    assert objects.pipeline_objects(case, "training", "0.1.1")[1]["metadata"]["name"] != before["metadata"]["name"]
    changed = {**objects.placement.RETRY_POLICY, "maxRetryCount": 5}
    monkeypatch.setattr(objects.placement, "RETRY_POLICY", changed)
    assert objects.pipeline_objects(case, "training", "0.1.0")[1]["metadata"]["name"] != before["metadata"]["name"]


def test_what_stands_for_nothing_any_more_is_deleted(case, tmp_path):
    (tmp_path / "by-hand.yaml").write_text("kept: true\n")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/forgotten.yaml").write_text(f"{objects.HEADER}kind: Pipeline\n")
    silent = UseCase(case.package, case.folder, case.spec.model_copy(update={"schedule": Schedules()}))
    written = objects.write(tmp_path, silent)
    assert sorted(tmp_path.rglob("*.yaml")) == sorted([*written, tmp_path / "by-hand.yaml"])
    assert not [path for path in written if path.name.startswith("schedules")]


def test_what_other_libraries_do_to_yaml_does_not_matter(case, rendered):
    import hera.workflows  # noqa: F401 - it changes how everybody's texts are written

    assert objects.rendered(case) == rendered


def test_an_unchanged_file_is_left_alone(case, tmp_path):
    first = objects.write(tmp_path, case)
    before = {path: path.stat().st_mtime_ns for path in first}
    assert {path: path.stat().st_mtime_ns for path in objects.write(tmp_path, case)} == before


def test_a_version_has_what_the_use_case_says_as_defaults(case, committed):
    for name in pipeline_ir.PIPELINES:
        [version] = [
            document
            for document in committed
            if document["kind"] == "PipelineVersion"
            and document["spec"]["pipelineName"] == names.pipeline_name(case, name)
        ]
        spec = version["spec"]["pipelineSpec"]
        assert spec["pipelineInfo"]["name"] == version["spec"]["pipelineName"]
        inputs = spec["root"]["inputDefinitions"]["parameters"]
        defaults = {key: told["defaultValue"] for key, told in inputs.items() if told.get("isOptional")}
        of_usecase = {"usecase": case.package, **parameters.defaults(name, case)}
        assert defaults.items() >= {key: value for key, value in of_usecase.items() if key in inputs}.items()
        required = inputs.keys() - defaults.keys()
        assert required <= {"registry", "tracking", "store", "destination", "target", *ENVIRONMENT}, name
    [training] = [d for d in committed if d["kind"] == "Pipeline" and d["metadata"]["name"] == "flights-training"]
    assert training["spec"]["displayName"] == "flights: training"

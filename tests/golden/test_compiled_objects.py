"""manifests/pipelines is committed: a changed interface, image, order or schedule is a diff; see `make compile`."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from loopline import project
from loopline.cluster import objects
from loopline.compiler import pipeline_ir
from loopline.images import catalogue

FOLDER = project.ROOT / "manifests" / "pipelines"
RENDER = (
    "import json, sys; sys.modules['kubernetes_validate'] = None\n"  # not needed, and slow to import
    "from loopline import project; from loopline.cluster import objects\n"
    "print(json.dumps(objects.rendered(objects.cases_in(project.ROOT / 'usecases', []))))"
)


@pytest.fixture(scope="module")
def rendered():
    return objects.rendered(objects.cases_in(project.ROOT / "usecases", []))


@pytest.fixture(scope="module")
def committed():
    return [
        document
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if "metadata" in document
    ]


def test_compiles_to_what_is_committed(rendered, request):
    if request.config.getoption("--rewrite"):
        objects.write(FOLDER, objects.cases_in(project.ROOT / "usecases", []))
    there = {path.name: path.read_text() for path in FOLDER.glob("*.yaml") if path.name != objects.SETTINGS}
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
    images = re.findall(r"image: (\S+)", "".join(path.read_text() for path in FOLDER.glob("*.yaml")))
    assert images
    assert not [image for image in images if "/" in image]


def test_a_version_has_another_name_when_anything_in_it_changes(monkeypatch):
    before = objects.pipeline_objects("training", "0.1.0")[1]
    assert objects.pipeline_objects("training", "0.1.0")[1] == before
    assert objects.pipeline_objects("training", "0.1.1")[1]["metadata"]["name"] != before["metadata"]["name"]
    changed = {**objects.placement.RETRY_POLICY, "maxRetryCount": 5}
    monkeypatch.setattr(objects.placement, "RETRY_POLICY", changed)
    assert objects.pipeline_objects("training", "0.1.0")[1]["metadata"]["name"] != before["metadata"]["name"]


def test_what_stands_for_nothing_any_more_is_deleted(tmp_path):
    (tmp_path / objects.SETTINGS).write_text("kept: true\n")
    (tmp_path / "forgotten.yaml").write_text("kind: Pipeline\n")
    written = objects.write(tmp_path, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(p.name for p in written), objects.SETTINGS])
    assert not [path for path in written if path.name.startswith("schedules")]


def test_what_other_libraries_do_to_yaml_does_not_matter(rendered):
    import hera.workflows  # noqa: F401 - it changes how everybody's texts are written

    assert objects.rendered(objects.cases_in(project.ROOT / "usecases", [])) == rendered


def test_an_unchanged_file_is_left_alone(tmp_path):
    first = objects.write(tmp_path, [])
    before = {path: path.stat().st_mtime_ns for path in first}
    assert {path: path.stat().st_mtime_ns for path in objects.write(tmp_path, [])} == before

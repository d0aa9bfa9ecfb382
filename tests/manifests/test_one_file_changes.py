"""A promotion, a schedule and a scale are each a change of exactly one file, and change nothing else."""

import copy
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopline.components.contract import usecase
from loopline.components.contract.environment_policy import EnvironmentPolicy
from loopline.components.io import digest
from tests.manifests.pods import pods_of
from tests.manifests.render import OVERLAYS, named, render

Objects = list[dict[str, Any]]
Key = tuple[str, str]
Edit = Callable[[Path], None]


def by_name(objects: Objects) -> dict[Key, dict[str, Any]]:
    """Objects by kind and name, without the part of a pipeline version's name that its images give it."""
    return {(item["kind"], re.sub(r"-[0-9a-f]{8}$", "", item["metadata"]["name"])): item for item in objects}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of an object with its path."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{path}/{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}/{index}")
    else:
        yield path, value


def difference(before: Objects, after: Objects) -> dict[Key, set[str]]:
    """Paths that differ, by object."""
    old, new = by_name(before), by_name(after)
    assert old.keys() == new.keys()
    found = {key: {path for path, _ in set(leaves(old[key])) ^ set(leaves(new[key]))} for key in old}
    return {key: paths for key, paths in found.items() if paths}


@pytest.fixture
def changed(
    clean: Path, tmp_path: Path, overlay: Callable[[str], Objects]
) -> Callable[[str, str, Edit], dict[Key, set[str]]]:
    """Edit one file of an overlay in a copy, and say what that changes in what is rendered."""

    def change(name: str, file: str, edit: Edit) -> dict[Key, set[str]]:
        copied = shutil.copytree(clean, tmp_path / "copy")
        edit(copied / "kustomize/overlays" / name / file)
        return difference(overlay(name), render(copied / "kustomize/overlays" / name))

    return change


def test_a_promotion_is_one_file(changed: Callable[..., dict[Key, set[str]]], clean: Path) -> None:
    """What was tried in staging goes to prod: its images block, and the suffix that goes with it."""
    tried = "sha256:" + "0123456789abcdef" * 4

    def promote(path: Path) -> None:
        block = yaml.safe_load((clean / "kustomize/overlays/staging/kustomization.yaml").read_text())["images"]
        promoted = [{"name": image["name"], "newName": image["newName"], "digest": tried} for image in block]
        text = path.read_text()
        lines = "".join(
            f"  - {{name: {i['name']}, newName: {i['newName']}, digest: '{i['digest']}'}}\n" for i in promoted
        )
        text = re.sub(r"(?m)^images:\n(?:  .*\n)+", lambda _: f"images:\n{lines}", text)
        suffix = digest.of_value(promoted).removeprefix("sha256:")[:8]
        path.write_text(re.sub(r"suffix: -[0-9a-f]{8}", f"suffix: -{suffix}", text))

    found = changed("prod", "kustomization.yaml", promote)
    kinds = {kind for kind, _ in found}
    assert kinds == {
        "PipelineVersion",
        "CronWorkflow",
        "Deployment",
        "TrainingRuntime",
        "SparkApplication",
        "InferenceService",
        "ServingRuntime",
    }
    paths = {path for some in found.values() for path in some}
    assert {path for path in paths if not path.endswith(("/image", "/metadata/name", "/parameters/0/value"))} == set()


def test_a_schedule_is_one_file(changed: Callable[..., dict[Key, set[str]]]) -> None:
    def change(path: Path) -> None:
        documents = list(yaml.safe_load_all(path.read_text()))
        [retrain] = [item for item in documents if item["metadata"]["name"] == "flights-retrain"]
        retrain["spec"].update(schedules=["30 6 * * 1"], suspend=False)
        path.write_text(yaml.safe_dump_all(documents))

    found = changed("prod", "flights/schedules.yaml", change)
    assert found == {("CronWorkflow", "flights-retrain"): {"/spec/schedules/0", "/spec/suspend"}}


def test_removing_a_schedule_is_one_file(clean: Path, tmp_path: Path, overlay: Callable[[str], Objects]) -> None:
    copied = shutil.copytree(clean, tmp_path / "copy")
    path = copied / "kustomize/overlays/prod/flights/schedules.yaml"
    documents = list(yaml.safe_load_all(path.read_text()))
    [retrain] = [item for item in documents if item["metadata"]["name"] == "flights-retrain"]
    retrain.pop("spec")
    retrain["$patch"] = "delete"
    path.write_text(yaml.safe_dump_all(documents))
    after = by_name(render(copied / "kustomize/overlays/prod"))
    assert by_name(overlay("prod")).keys() - after.keys() == {("CronWorkflow", "flights-retrain")}


def test_a_scale_is_one_file(changed: Callable[..., dict[Key, set[str]]]) -> None:
    def change(path: Path) -> None:
        documents = list(yaml.safe_load_all(path.read_text()))
        for item in documents:
            if item["kind"] == "Deployment":
                item["spec"]["replicas"] = 5
            if item["kind"] == "ResourceQuota":
                item["spec"]["hard"]["pods"] = "999"
        path.write_text(yaml.safe_dump_all(documents))

    found = changed("prod", "scale.yaml", change)
    assert found == {
        ("Deployment", "mlflow"): {"/spec/replicas"},
        ("ResourceQuota", "loopline"): {"/spec/hard/pods"},
    }


def test_the_steps_of_a_canary_are_one_file(changed: Callable[..., dict[Key, set[str]]]) -> None:
    found = changed("prod", "flights/policy.yaml", lambda path: path.write_text("release: {steps: [1, 10, 50]}\n"))
    assert found == {("ConfigMap", "flights-policy"): {"/data/policy.yaml"}}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_policy_of_an_overlay_is_one_and_reaches_the_steps(overlay: Callable[[str], Objects], name: str) -> None:
    text = named(overlay(name), "ConfigMap", "flights-policy")["data"]["policy.yaml"]
    EnvironmentPolicy.parse(text).applied_to(usecase.load("loopline.usecases.flights").spec)
    for version in (item for item in overlay(name) if item["kind"] == "PipelineVersion"):
        reading = {pod.owner.rpartition("/")[2] for pod in pods_of(version) if "flights-policy" in str(pod.spec)}
        steps = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].keys()
        assert {"exec-check-gates", "exec-render"} & steps <= reading


def test_the_comparison_itself_sees_a_change(overlay: Callable[[str], Objects]) -> None:
    objects = overlay("prod")
    other = copy.deepcopy(objects)
    other[0]["metadata"]["labels"]["new"] = "label"
    key = next(iter(by_name([other[0]])))
    assert difference(objects, other) == {key: {"/metadata/labels/new"}}

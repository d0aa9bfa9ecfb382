"""GPU pools come with two components; without them everything schedules on CPUs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import findings, pod_security
from tests.manifests.pods import Pod, pods_of
from tests.manifests.render import OVERLAYS, named, render
from tests.manifests.schemas import problems

Objects = list[dict[str, Any]]
FIXTURES = Path(__file__).parent / "fixtures"
GPU = "nvidia.com/gpu"
TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
SELECTOR = {"loopline.dev/pool": "gpu"}


@pytest.fixture(scope="module")
def pooled(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """The overlay prod with a GPU pool: a line and an image of one file."""
    copied = shutil.copytree(clean, tmp_path_factory.mktemp("pooled") / "copy")
    file = copied / "kustomize/overlays/prod/kustomization.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["components"].append("../../components/gpu-training")
    for image in settings["images"]:
        if image["name"] == "loopline-training":
            image.update(name="loopline-training-cuda", newName=f"{image['newName']}-cuda")
    file.write_text(yaml.safe_dump(settings))
    return render(copied / "kustomize/overlays/prod")


@pytest.mark.parametrize("rule", findings.RULES)
def test_with_the_component_nothing_is_found_either(pooled: Objects, crd_schemas: Path, rule: str) -> None:
    assert list(findings.RULES[rule](pooled)) == []


def pod(objects: Objects, kind: str, name: str) -> Pod:
    """The one pod of an object."""
    [found] = pods_of(named(objects, kind, name))
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_without_the_component_everything_schedules_on_cpus(overlay: Callable[[str], Objects], name: str) -> None:
    objects = overlay(name)
    for item in objects:
        for found in pods_of(item):
            assert not found.spec.get("nodeSelector"), found.owner
            assert not found.spec.get("tolerations"), found.owner
            for container in found.spec["containers"]:
                assert GPU not in str(container.get("resources")), found.owner
                assert "cuda" not in container.get("image", "")
    runtime = named(objects, "TrainingRuntime", "loopline-torch")
    assert runtime["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cpu"
    assert set(named(objects, "ConfigMap", "loopline-cluster")["data"]) == {"cluster.yaml"}
    assert named(objects, "ResourceQuota", "loopline")["spec"]["hard"][f"requests.{GPU}"] == "0"


def test_with_the_component_training_goes_to_the_pool(pooled: Objects) -> None:
    objects = pooled
    runtime = named(objects, "TrainingRuntime", "loopline-torch")
    nodes = pod(objects, "TrainingRuntime", "loopline-torch").spec
    assert runtime["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert (nodes["nodeSelector"], nodes["tolerations"]) == (SELECTOR, [TOLERATION])
    assert nodes["containers"][0]["resources"]["limits"][GPU] == "1"
    flavor = named(objects, "ResourceFlavor", "loopline-gpu")["spec"]
    assert flavor["nodeLabels"] == SELECTOR
    assert flavor["tolerations"] == [TOLERATION]
    quota = named(objects, "ClusterQueue", "loopline-gpu")["spec"]["resourceGroups"][0]["flavors"][0]["resources"]
    assert {item["name"]: item["nominalQuota"] for item in quota}[GPU] != "0"


def test_the_train_step_is_told_the_same_pool(pooled: Objects) -> None:
    data = named(pooled, "ConfigMap", "loopline-cluster")["data"]
    told = yaml.safe_load(data["gpu.yaml"])
    assert (told["node_selector"], told["tolerations"], told["gpus"]) == (SELECTOR, [TOLERATION], 1)


def test_the_settings_with_a_pool_are_read_by_the_command(
    pooled: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loopline.cluster.settings import Cluster

    (tmp_path / "namespace").write_text("loopline")
    monkeypatch.setattr("loopline.cluster.settings.NAMESPACE_OF_POD", tmp_path / "namespace")
    for name, content in named(pooled, "ConfigMap", "loopline-cluster")["data"].items():
        (tmp_path / name).write_text(content)
    pool = Cluster.read(tmp_path / "cluster.yaml").gpu
    assert pool is not None
    assert json.loads(json.dumps(pool.parameters()))["node_selector"] == SELECTOR


def test_with_the_component_every_training_image_is_the_one_for_gpus(pooled: Objects) -> None:
    images = {
        container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0]
        for item in pooled
        for found in pods_of(item)
        for container in found.spec["containers"]
        if "loopline-training" in container.get("image", "")
    }
    assert images == {"loopline-training-cuda"}


def test_serving_goes_to_the_pool_where_its_label_says_so(clean: Path, tmp_path: Path, crd_schemas: Path) -> None:
    """There is nothing that serves a model yet; this is how it will look."""
    copied = shutil.copytree(clean, tmp_path / "copy")
    overlay = copied / "kustomize/overlays/serving"
    shutil.copytree(FIXTURES / "serving", overlay)
    plain = render(overlay)
    settings = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    settings["components"] = ["../../components/gpu-serving"]
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(settings))
    moved = render(overlay)

    assert named(plain, "InferenceService", "on-cpu") == named(moved, "InferenceService", "on-cpu")
    assert GPU not in str(plain)
    predictor = named(moved, "InferenceService", "on-gpu")["spec"]["predictor"]
    assert (predictor["nodeSelector"], predictor["tolerations"]) == (SELECTOR, [TOLERATION])
    assert predictor["model"]["resources"]["limits"][GPU] == "1"
    server = pod(moved, "Deployment", "server").spec
    assert (server["nodeSelector"], server["tolerations"]) == (SELECTOR, [TOLERATION])
    assert server["containers"][0]["resources"]["limits"][GPU] == "1"
    for item in moved:
        assert problems(item) == []
    assert pod_security.violations(server) == []

"""The endpoint in each mode and on each kind of node: valid, and of one version a pod."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.pods import pods_of
from tests.manifests.render import OVERLAYS, named, render
from tests.manifests.schemas import problems

Objects = list[dict[str, Any]]
MODE = "serving.kserve.io/deploymentMode"


@pytest.fixture
def with_components(clean: Path, tmp_path: Path) -> Callable[..., Objects]:
    """The overlay local with other components."""

    def change(add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> Objects:
        copied = shutil.copytree(clean, tmp_path / "copy")
        file = copied / "kustomize/overlays/local/kustomization.yaml"
        settings = yaml.safe_load(file.read_text())
        kept = [path for path in settings["components"] if Path(path).name not in remove]
        settings["components"] = [*(path if "/" in path else f"../../components/{path}" for path in add), *kept]
        file.write_text(yaml.safe_dump(settings))
        return render(file.parent)

    return change


def service(objects: Objects) -> dict[str, Any]:
    """The InferenceService."""
    return named(objects, "InferenceService", "flights")


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_in_one_mode_only(overlay: Callable[[str], Objects], name: str) -> None:
    made = service(overlay(name))
    assert made["metadata"]["annotations"][MODE] == "Standard"
    assert "canaryTrafficPercent" not in str(made)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_is_a_version_with_its_transformer(overlay: Callable[[str], Objects], name: str) -> None:
    made = service(overlay(name))
    predictor = made["spec"]["predictor"]
    assert "transformer" not in made["spec"]
    assert [container["name"] for container in predictor["containers"]] == ["transformer-container"]
    version = predictor["labels"]["loopline.dev/model-version"]
    assert predictor["name"] == f"v{version}"
    [environment] = [e for e in predictor["containers"][0]["env"] if e["name"] == "LOOPLINE_MODEL_VERSION"]
    assert "loopline.dev/model-version" in environment["valueFrom"]["fieldRef"]["fieldPath"]
    assert "--model_version=$(LOOPLINE_MODEL_VERSION)" in predictor["containers"][0]["args"]
    runtime = named(overlay(name), "ServingRuntime", predictor["model"]["runtime"])
    ports = {port["containerPort"] for c in (runtime["spec"]["containers"]) for port in c["ports"]}
    assert "--predictor_host=localhost:8085" in predictor["containers"][0]["args"]
    assert 8085 in ports


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_model_comes_from_the_overlays_bucket(overlay: Callable[[str], Objects], name: str) -> None:
    bucket = named(overlay(name), "ConfigMap", "loopline-object-store")["data"]["LOOPLINE_BUCKET"]
    assert service(overlay(name))["spec"]["predictor"]["model"]["storageUri"].startswith(f"s3://{bucket}/")


def test_the_other_mode_is_one_component(with_components: Callable[..., Objects], crd_schemas: Path) -> None:
    objects = with_components(add=("canary-knative",), remove=("canary-standard",))
    made = service(objects)
    assert made["metadata"]["annotations"] == {MODE: "Knative"}
    assert made["spec"]["predictor"]["canaryTrafficPercent"] == 100
    assert "autoScaling" not in made["spec"]["predictor"]
    assert problems(made) == []


def test_on_gpus_the_predictor_is_triton(with_components: Callable[..., Objects], crd_schemas: Path) -> None:
    objects = with_components(add=("gpu-serving",))
    predictor = service(objects)["spec"]["predictor"]
    runtime = named(objects, "ServingRuntime", predictor["model"]["runtime"])
    [pod] = pods_of(runtime)
    [container] = pod.spec["containers"]
    assert container["command"] == ["tritonserver"]
    assert {"--model-repository=/mnt/models", "--http-port=8085", "--metrics-port=8087"} <= set(container["args"])
    assert predictor["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert problems(service(objects)) == problems(runtime) == []


def test_the_cache_holds_the_first_model(with_components: Callable[..., Objects], crd_schemas: Path) -> None:
    objects = with_components(add=("model-cache", "../../../manifests/usecases/flights/model-cache"))
    cache = named(objects, "LocalModelNamespaceCache", "flights-v1")
    group = named(objects, "LocalModelNodeGroup", "loopline-serving")
    assert cache["spec"]["nodeGroups"] == [group["metadata"]["name"]]
    assert cache["spec"]["sourceModelUri"] == service(objects)["spec"]["predictor"]["model"]["storageUri"]
    assert problems(cache) == problems(group) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_route_for_grpc_leads_to_every_pod(overlay: Callable[[str], Objects], name: str) -> None:
    route = named(overlay(name), "GRPCRoute", "flights")["spec"]["rules"][0]["backendRefs"][0]
    target = named(overlay(name), "Service", route["name"])["spec"]
    assert route["port"] in [port["port"] for port in target["ports"]]
    monitor = named(overlay(name), "ServiceMonitor", "flights")["spec"]
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= {port["name"] for port in target["ports"]}

"""Use cases beside each other: in one namespace, in one each, and from a repository of its own."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopline.cluster import objects
from loopline.components.contract import usecase
from loopline.components.contract.usecase import UseCase
from tests.manifests import findings
from tests.manifests.render import named, render

Objects = list[dict[str, Any]]
Render = Callable[[Path], Objects]


@pytest.fixture(scope="module")
def readings() -> UseCase:
    """A second use case, of another package, with a schedule and a name that is longer than a word."""
    case = usecase.load("tests.usecases.temperature")
    schedule = {"batch_inference": {"cron": "0 6 * * *", "window": ["-1d", "0d"]}}
    raw = {**case.spec.model_dump(by_alias=True, exclude_unset=True), "name": "air_temperature", "schedule": schedule}
    return UseCase(case.package, case.folder, type(case.spec).model_validate(raw))


@pytest.fixture(scope="module")
def both(clean: Path, readings: UseCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the manifests with a base for the second use case; its lines are one in each overlay."""
    copied = shutil.copytree(clean, tmp_path_factory.mktemp("both") / "copy")
    objects.write(copied / "manifests/usecases/air-temperature", readings)
    return copied


def listed(kustomization: Path, *bases: str, **more: Any) -> Path:
    """Add bases to an overlay; returns its folder."""
    settings = yaml.safe_load(kustomization.read_text())
    settings["resources"] += bases
    kustomization.write_text(yaml.safe_dump({**settings, **more}))
    return kustomization.parent


@pytest.fixture(scope="module")
def in_one_namespace(both: Path) -> Objects:
    """Both in the overlay local."""
    return render(
        listed(both / "kustomize/overlays/local/kustomization.yaml", "../../../manifests/usecases/air-temperature")
    )


@pytest.mark.parametrize("rule", findings.RULES)
def test_in_one_namespace_nothing_is_found(in_one_namespace: Objects, crd_schemas: Path, rule: str) -> None:
    assert list(findings.RULES[rule](in_one_namespace)) == []


def test_in_one_namespace_both_are_whole(in_one_namespace: Objects, overlay: Callable[[str], Objects]) -> None:
    of = {
        name: [item for item in in_one_namespace if item["metadata"]["labels"].get("loopline.dev/usecase") == name]
        for name in ("flights", "air_temperature")
    }
    kinds = {name: {item["kind"] for item in items} for name, items in of.items()}
    assert kinds["flights"] == kinds["air_temperature"] >= {
        "Pipeline", "PipelineVersion", "CronWorkflow", "InferenceService", "FeatureStore", "Role", "ConfigMap",
    }  # fmt: skip
    alone = overlay("local")
    assert len(in_one_namespace) == len(alone) + len(of["air_temperature"])
    assert all(item in in_one_namespace for item in alone), "flights are not as they are alone"
    for item in of["air_temperature"]:
        assert not mentions_flights(item), item["metadata"]["name"]


def test_names_that_kubernetes_takes_and_the_model_s_own(in_one_namespace: Objects) -> None:
    service = named(in_one_namespace, "InferenceService", "air-temperature")["spec"]["predictor"]
    assert service["model"]["storageUri"] == "s3://loopline/models/air_temperature/1/repository"
    arguments = service["containers"][0]["args"]
    assert {"--usecase=tests.usecases.temperature", "--model_name=air_temperature"} <= set(arguments)
    assert 'model_name="air_temperature"' in str(service["autoScaling"])
    store = named(in_one_namespace, "FeatureStore", "air-temperature")["spec"]
    assert store["feastProject"] == "air_temperature"


@pytest.fixture(scope="module")
def elsewhere(both: Path) -> Objects:
    """The second use case in namespace weather: an overlay without manifests/cluster, which is applied once."""
    local = both / "kustomize/overlays/local"
    weather = shutil.copytree(local, both / "kustomize/overlays/weather")
    settings = yaml.safe_load((local / "kustomization.yaml").read_text())
    settings["resources"] = ["../../../manifests", "../../../manifests/usecases/air-temperature", "settings.yaml"]
    settings["components"].remove("flights")
    del settings["patches"]
    (weather / "kustomization.yaml").write_text(yaml.safe_dump({**settings, "namespace": "weather"}))
    return render(weather)


@pytest.mark.parametrize("rule", findings.RULES)
def test_in_a_namespace_of_its_own_nothing_is_found(
    both: Path, elsewhere: Objects, crd_schemas: Path, rule: str
) -> None:
    assert list(findings.RULES[rule]([*elsewhere, *render(both / "manifests/cluster")])) == []


def test_in_a_namespace_of_its_own_nothing_is_shared(elsewhere: Objects) -> None:
    assert {item["metadata"].get("namespace", "weather") for item in elsewhere} == {"weather"}
    assert named(elsewhere, "Namespace", "weather")
    assert not mentions_flights(elsewhere)
    for item in elsewhere:
        for subject in item.get("subjects", []):
            assert subject.get("namespace", "weather") == "weather"
    settings = yaml.safe_load(named(elsewhere, "ConfigMap", "loopline-cluster")["data"]["cluster.yaml"])
    assert "namespace" not in settings, "whoever reads it is in the namespace"


def mentions_flights(value: Any) -> bool:
    """Whether anything but the description of a parameter does."""
    text = yaml.safe_dump(value, width=1000)
    return "flights" in re.sub(r"(such as|for example) loopline\.usecases\.flights", "", text)


def test_from_a_repository_of_its_own(clean: Path, readings: UseCase, tmp_path: Path, crd_schemas: Path) -> None:
    """Its base needs none of our files; its overlay names ours by path here, and by address elsewhere."""
    shutil.copytree(clean, tmp_path / "loopline")
    mine = tmp_path / "mine/deploy"
    objects.write(mine / "air-temperature", readings)
    local = yaml.safe_load((clean / "kustomize/overlays/local/kustomization.yaml").read_text())
    shutil.copy(clean / "kustomize/overlays/local/settings.yaml", mine / "settings.yaml")
    ours = "../../loopline"
    overlay = {
        "resources": [f"{ours}/manifests", f"{ours}/manifests/cluster", "air-temperature", "settings.yaml"],
        "components": [
            f"{ours}/kustomize/components/{name}" for name in ("backing-services", "canary-standard", "object-store")
        ],
        **{key: local[key] for key in ("labels", "images", "transformers")},
    }
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    rendered = render(mine)
    assert {name: list(rule(rendered)) for name, rule in findings.RULES.items() if list(rule(rendered))} == {}

"""What each overlay gives to Kubernetes is whole, valid and admitted."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopline.components.io import digest
from tests.manifests import findings, render
from tests.manifests.pods import Pod, pods_of
from tests.manifests.render import OVERLAYS, PROJECT, named

Objects = list[dict[str, Any]]
SCREEN = 60
ANNOTATIONS_LIMIT = 256 * 1024


@pytest.mark.parametrize("rule", [name for name in findings.RULES if name != "schema"])
@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_is_found(overlay: Callable[[str], Objects], name: str, rule: str) -> None:
    assert list(findings.RULES[rule](overlay(name))) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_valid_against_strict_schemas(
    overlay: Callable[[str], Objects], crd_schemas: Path, name: str
) -> None:
    assert list(findings.schema(overlay(name))) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_holds_the_whole_installation(overlay: Callable[[str], Objects], name: str) -> None:
    kinds = {item["kind"] for item in overlay(name)}
    assert {
        "Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "ResourceQuota", "LimitRange",
        "PriorityClass", "ResourceFlavor", "ClusterQueue", "LocalQueue", "Deployment", "Service", "FeatureStore",
        "PodDisruptionBudget", "Pipeline", "PipelineVersion", "CronWorkflow", "TrainingRuntime", "ConfigMap",
    } <= kinds  # fmt: skip


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_namespace_enforces_restricted_and_denies_by_default(overlay: Callable[[str], Objects], name: str) -> None:
    objects = overlay(name)
    labels = named(objects, "Namespace", "loopline")["metadata"]["labels"]
    assert [labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")] == ["restricted"] * 3
    deny = named(objects, "NetworkPolicy", "deny-all")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_of_ours_is_labelled_so(overlay: Callable[[str], Objects], name: str) -> None:
    """Else an apply with --prune and this label leaves it out."""
    for item in overlay(name):
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "loopline", item["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubectl_can_remember_each_object(overlay: Callable[[str], Objects], name: str) -> None:
    """What is applied is kept in an annotation, which --prune goes by; all annotations together have a limit."""
    for item in overlay(name):
        assert len(json.dumps(item)) < ANNOTATIONS_LIMIT, item["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_account_may_do_everything(overlay: Callable[[str], Objects], name: str) -> None:
    for item in overlay(name):
        assert item["kind"] not in ("ClusterRole", "ClusterRoleBinding")
        for rule in item.get("rules", []) if item["kind"] == "Role" else []:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if "secrets" in rule["resources"]:
                assert rule["resourceNames"]
                assert rule["verbs"] == ["get"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_token_is_mounted_only_where_the_account_has_rights(overlay: Callable[[str], Objects], name: str) -> None:
    objects = overlay(name)
    bound = {s["name"] for item in objects if item["kind"] == "RoleBinding" for s in item["subjects"]}
    mounts = {
        item["metadata"]["name"]: item.get("automountServiceAccountToken", True)
        for item in objects
        if item["kind"] == "ServiceAccount"
    }
    assert {account for account, mounted in mounts.items() if mounted} <= bound
    for item in objects:
        for pod in pods_of(item):
            account = pod.spec.get("serviceAccountName")
            if account and pod.spec.get("automountServiceAccountToken", mounts[account]):
                assert account in bound, pod.owner


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_fits_on_a_screen_and_says_images_once(name: str) -> None:
    files = sorted((PROJECT / "kustomize/overlays" / name).rglob("*.yaml"))
    assert {file: n for file in files if (n := len(file.read_text().splitlines())) > SCREEN} == {}
    texts = [file.read_text() for file in files]
    assert sum(len(re.findall(r"^images:", text, re.MULTILINE)) for text in texts) == 1


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_images_block_reaches_every_image_of_ours(overlay: Callable[[str], Objects], name: str) -> None:
    block = kustomization(name)["images"]
    places = {image.get("newName", image["name"]): image for image in block}
    used = set()
    for item in overlay(name):
        for pod in pods_of(item):
            for container in containers(pod):
                if "loopline-" in container.get("image", ""):
                    place, _, tag = container["image"].partition("@" if "@" in container["image"] else ":")
                    assert tag == places[place].get("digest", places[place].get("newTag")), pod.owner
                    used.add(place)
    assert used == set(places)


def test_prod_runs_images_by_digest(overlay: Callable[[str], Objects]) -> None:
    images = {c["image"] for item in overlay("prod") for pod in pods_of(item) for c in containers(pod) if "image" in c}
    assert {image for image in images if "@sha256:" not in image} == set()


def anywhere(value: Any) -> set[str]:
    """Every image that an object names, wherever it stands."""
    if isinstance(value, list):
        return {image for part in value for image in anywhere(part)}
    if not isinstance(value, dict):
        return set()
    own = {value["image"]} if isinstance(value.get("image"), str) else set()
    return own | {image for part in value.values() for image in anywhere(part)}


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pod_escapes_the_rules(overlay: Callable[[str], Objects], name: str) -> None:
    """Each image in an object belongs to a pod that the rules look at."""
    for item in overlay(name):
        looked_at = {container.get("image") for pod in pods_of(item) for container in containers(pod)}
        assert anywhere(item) <= looked_at, item["metadata"]["name"]


def containers(pod: Pod) -> list[dict[str, Any]]:
    """The containers of a pod, those that come first included."""
    return [*pod.spec.get("initContainers", []), *pod.spec["containers"]]


@pytest.mark.parametrize("name", OVERLAYS)
def test_other_images_are_another_pipeline_version(overlay: Callable[[str], Objects], name: str) -> None:
    expected = digest.of_value(kustomization(name)["images"]).removeprefix("sha256:")[:8]
    versions = [item["metadata"]["name"] for item in overlay(name) if item["kind"] == "PipelineVersion"]
    assert versions
    assert {version.rpartition("-")[2] for version in versions} == {expected}


def test_the_base_names_no_environment(clean: Path) -> None:
    bases = ("manifests", "manifests/cluster", "manifests/usecases/flights")
    objects = [item for base in bases for item in render.render(clean / base)]
    text = yaml.safe_dump(objects)
    hosts = set(re.findall(r"\b(?:https?|s3|redis|postgresql\+psycopg2)://([^/\s'\":]*)", text))
    inside = {"", "BUCKET", "$LOOPLINE_BUCKET", "$(LOOPLINE_BUCKET)", "mlflow", "redis"}
    assert {
        host for host in hosts - inside if not re.fullmatch(r"[a-z-]+\.[a-z-]+\.svc(\.cluster\.local)?", host)
    } == set()
    assert not re.search(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b(?<!0\.0\.0\.0)", text)
    assert "storageClassName" not in text
    for item in objects:
        for pod in pods_of(item):
            assert not pod.spec.get("nodeSelector")
            for container in pod.spec["containers"]:
                assert "/" not in container.get("image", "")


def kustomization(name: str) -> dict[str, Any]:
    """The kustomization of an overlay as it is written."""
    return yaml.safe_load((PROJECT / "kustomize/overlays" / name / "kustomization.yaml").read_text())

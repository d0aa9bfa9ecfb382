"""Each rule finds what it is for: one thing is broken in the real overlay, and named."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.manifests import findings, schemas
from tests.manifests.pods import pods_of
from tests.manifests.render import named

Objects = list[dict[str, Any]]
Change = Callable[[Objects], None]


def container(objects: Objects, kind: str = "Deployment", name: str = "mlflow") -> dict[str, Any]:
    """The first container of an object."""
    [pod, *_] = pods_of(named(objects, kind, name))
    return pod.spec["containers"][0]


def cron(objects: Objects) -> dict[str, Any]:
    """The template of a schedule's pod."""
    return named(objects, "CronWorkflow", "flights-retrain")["spec"]["workflowSpec"]["templates"][0]


def executor(objects: Objects, field: str) -> dict[str, Any]:
    """The first executor of a pipeline version: its container, or its platform configuration."""
    spec = next(item for item in objects if item["kind"] == "PipelineVersion")["spec"]
    if field == "container":
        return next(iter(spec["pipelineSpec"]["deploymentSpec"]["executors"].values()))["container"]
    return next(iter(spec["platformSpec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()))


def set_in(value: dict[str, Any], **fields: Any) -> None:
    """Set fields of a mapping."""
    value.update(fields)


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        (
            "restricted",
            lambda o: container(o).pop("securityContext"),
            "Deployment/mlflow: mlflow: allowPrivilegeEscalation",
        ),
        (
            "restricted",
            lambda o: cron(o)["container"].pop("securityContext"),
            "CronWorkflow/flights-retrain: main: allow",
        ),
        (
            "restricted",
            lambda o: container(o, "TrainingRuntime", "loopline-torch").pop("securityContext"),
            "TrainingRuntime/",
        ),
        (
            "restricted",
            lambda o: named(o, "FeatureStore", "flights")["spec"]["services"].pop("securityContext"),
            "FeatureStore/flights: online: runAsNonRoot",
        ),
        (
            "resources",
            lambda o: container(o)["resources"]["limits"].pop("memory"),
            "container mlflow has no limits.memory",
        ),
        ("resources", lambda o: executor(o, "container").pop("resources"), "container main has no requests.cpu"),
        ("probes", lambda o: container(o).pop("readinessProbe"), "container mlflow has no readinessProbe"),
        ("images", lambda o: set_in(container(o), image="loopline-registry"), "has image 'loopline-registry'"),
        (
            "images",
            lambda o: set_in(executor(o, "container"), image="host:5000/a:latest"),
            "has image 'host:5000/a:latest'",
        ),
        ("images", lambda o: set_in(cron(o)["container"], image="host:5000/a"), "has image 'host:5000/a'"),
        ("names", lambda o: set_in(o[0]["metadata"], name="a" * 64), "not a name"),
        ("names", lambda o: o.append(copy.deepcopy(o[0])), "twice"),
        ("secrets", lambda o: o.append({"kind": "Secret", "metadata": {"name": "s"}, "data": {}}), "a Secret in Git"),
        (
            "secrets",
            lambda o: container(o)["env"].append({"name": "PGPASSWORD", "value": "x"}),
            "PGPASSWORD looks like a secret",
        ),
        (
            "secrets",
            lambda o: set_in(o[0]["metadata"], annotations={"a": "redis://u:p4ss@redis"}),
            "looks like a secret",
        ),
        (
            "references",
            lambda o: set_in(next(pods_of(named(o, "Deployment", "mlflow"))).spec, serviceAccountName="nobody"),
            "Deployment/mlflow: there is no ServiceAccount nobody",
        ),
        (
            "references",
            lambda o: set_in(container(o)["envFrom"][0]["configMapRef"], name="gone"),
            "Deployment/mlflow: there is no ConfigMap gone",
        ),
        (
            "references",
            lambda o: set_in(executor(o, "platform")["secretAsEnv"][0]["keyToEnv"][0], secretKey="gone"),
            "there is no Secret loopline-s3 gone",
        ),
        (
            "references",
            lambda o: set_in(named(o, "LocalQueue", "cpu")["spec"], clusterQueue="gone"),
            "LocalQueue/cpu: there is no ClusterQueue gone",
        ),
        ("references", lambda o: o.remove(named(o, "LocalQueue", "cpu")), "there is no LocalQueue cpu"),
        (
            "references",
            lambda o: o.remove(named(o, "Pipeline", "flights-training")),
            "there is no Pipeline flights-training",
        ),
        (
            "references",
            lambda o: o.remove(named(o, "PriorityClass", "loopline-batch")),
            "TrainingRuntime/loopline-torch: there is no PriorityClass loopline-batch",
        ),
        (
            "selectors",
            lambda o: set_in(named(o, "Service", "mlflow")["spec"], selector={"app": "gone"}),
            "Service/mlflow: selector selects no pod",
        ),
        (
            "selectors",
            lambda o: set_in(
                named(o, "PodDisruptionBudget", "mlflow")["spec"]["selector"], matchLabels={"app": "gone"}
            ),
            "PodDisruptionBudget/mlflow: selector selects no pod",
        ),
        (
            "selectors",
            lambda o: o.remove(named(o, "Deployment", "mlflow")),
            "NetworkPolicy/mlflow: podSelector selects no pod",
        ),
        (
            "namespaces",
            lambda o: container(o) and named(o, "Deployment", "mlflow")["metadata"].pop("namespace"),
            "namespace None",
        ),
        (
            "namespaces",
            lambda o: set_in(named(o, "ClusterQueue", "loopline-cpu")["metadata"], namespace="a"),
            "namespace a",
        ),
    ],
)
def test_a_rule_finds_what_is_broken(overlay: Callable[[str], Objects], rule: str, change: Change, said: str) -> None:
    objects = copy.deepcopy(overlay("prod"))
    change(objects)
    found = list(findings.RULES[rule](objects))
    assert any(said in text for text in found), found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "mlflow"),
        ("NetworkPolicy", "deny-all"),
        ("FeatureStore", "flights"),
        ("ClusterQueue", "loopline-cpu"),
        ("CronWorkflow", "flights-retrain"),
        ("TrainingRuntime", "loopline-torch"),
        ("MutatingAdmissionPolicy", "loopline-feature-store"),
        ("SparkApplication", "loopline-batch"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(
    overlay: Callable[[str], Objects], crd_schemas: Any, kind: str, name: str
) -> None:
    item = copy.deepcopy(named(overlay("prod"), kind, name))
    assert schemas.problems(item) == []
    item["spec"]["replicsa"] = 1
    assert "replicsa" in str(schemas.problems(item))


def test_a_kind_without_a_schema_is_a_finding(crd_schemas: Any) -> None:
    item = {"apiVersion": "example.dev/v1", "kind": "Unknown", "metadata": {"name": "a"}}
    assert schemas.problems(item) == ["no schema example.dev/unknown_v1.json"]


def test_the_feature_stores_containers_get_what_restricted_asks(overlay: Callable[[str], Objects]) -> None:
    """Feast's operator sets no container's security context: the admission policy has to, for the pods it makes."""
    objects = overlay("prod")
    policy = named(objects, "MutatingAdmissionPolicy", "loopline-feature-store")["spec"]
    assert findings.selects(policy["matchConstraints"]["objectSelector"], {"feast.dev/name": "flights"})
    expression = policy["mutations"][0]["jsonPatch"]["expression"]
    for group in ("initContainers", "containers"):
        assert f'path: "/spec/{group}/0/securityContext"' in expression
    assert expression.count("allowPrivilegeEscalation: false") == 2
    assert expression.count('capabilities{drop: ["ALL"]}') == 2
    binding = named(objects, "MutatingAdmissionPolicyBinding", "loopline-feature-store")["spec"]
    namespace = named(objects, "Namespace", "loopline")["metadata"]["labels"]
    assert findings.selects(binding["matchResources"]["namespaceSelector"], namespace)

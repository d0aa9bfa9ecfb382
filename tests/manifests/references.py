"""What an object refers to by name, and what of it is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.manifests.pods import Pod, pods_of

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# Kubernetes' and Kueue's own, and what a cluster has to bring.
ALWAYS_THERE = frozenset({("PriorityClass", "system-cluster-critical"), ("PriorityClass", "system-node-critical")})


@dataclass(frozen=True)
class Reference:
    """A name in an object that another object must have; with a key that it must have, for data."""

    owner: str
    kind: str
    name: str
    key: str = ""


def references(item: dict[str, Any]) -> Iterator[Reference]:
    """Everything that an object refers to."""
    owner = f"{item['kind']}/{item['metadata']['name']}"
    for pod in pods_of(item):
        yield from _of_pod(pod)
    yield from _anywhere(owner, item)
    spec = item.get("spec") or {}
    if item["kind"] == "RoleBinding":
        yield Reference(owner, item["roleRef"]["kind"], item["roleRef"]["name"])
        for subject in item["subjects"]:
            yield Reference(owner, subject["kind"], subject["name"])
    if item["kind"] == "LocalQueue":
        yield Reference(owner, "ClusterQueue", spec["clusterQueue"])
    if item["kind"] == "ClusterQueue":
        for group in spec["resourceGroups"]:
            for flavor in group["flavors"]:
                yield Reference(owner, "ResourceFlavor", flavor["name"])
    if item["kind"] == "PipelineVersion":
        yield Reference(owner, "Pipeline", spec["pipelineName"])
    if item["kind"] == "CronWorkflow":
        for parameter in spec["workflowSpec"].get("arguments", {}).get("parameters", []):
            if parameter["name"] == "version":
                yield Reference(owner, "PipelineVersion", parameter["value"])
    if item["kind"] == "MutatingAdmissionPolicyBinding":
        yield Reference(owner, "MutatingAdmissionPolicy", spec["policyName"])


def _of_pod(pod: Pod) -> Iterator[Reference]:
    spec = pod.spec
    for field, kind in (("serviceAccountName", "ServiceAccount"), ("priorityClassName", "PriorityClass")):
        if spec.get(field):
            yield Reference(pod.owner, kind, spec[field])
    if QUEUE_LABEL in pod.labels:
        yield Reference(pod.owner, "LocalQueue", pod.labels[QUEUE_LABEL])
    for volume in spec.get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            yield Reference(pod.owner, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        if "configMap" in volume:
            yield Reference(pod.owner, "ConfigMap", volume["configMap"]["name"])
        if "secret" in volume:
            yield Reference(pod.owner, "Secret", volume["secret"]["secretName"])


def _anywhere(owner: str, value: Any) -> Iterator[Reference]:
    """References that read alike wherever they stand: a key of a ConfigMap or Secret, or all of it."""
    if isinstance(value, list):
        for part in value:
            yield from _anywhere(owner, part)
    if not isinstance(value, dict):
        return
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        for form in (f"{field}KeyRef", f"{field}Ref"):
            named = value.get(form)
            if isinstance(named, dict) and named.get("name") and not named.get("optional"):
                yield Reference(owner, kind, named["name"], named.get("key", ""))
    if "secretName" in value and "keyToEnv" in value and not value.get("optional"):
        for pair in value["keyToEnv"]:
            yield Reference(owner, "Secret", value["secretName"], pair["secretKey"])
    if "configMapName" in value and "keyToEnv" in value:
        for pair in value["keyToEnv"]:
            yield Reference(owner, "ConfigMap", value["configMapName"], pair["configMapKey"])
    metadata = value.get("labels")
    if isinstance(metadata, dict) and QUEUE_LABEL in metadata:
        yield Reference(owner, "LocalQueue", metadata[QUEUE_LABEL])
    for part in value.values():
        yield from _anywhere(owner, part)


def dangling(objects: list[dict[str, Any]], secrets: dict[str, set[str]]) -> list[Reference]:
    """References to what is neither among the objects nor one of the Secrets that a cluster must have.

    Args:
        objects: all that is applied together.
        secrets: keys by name of the documented Secrets.
    """
    there = {(item["kind"], item["metadata"]["name"]) for item in objects} | ALWAYS_THERE
    data = {item["metadata"]["name"]: set(item.get("data") or {}) for item in objects if item["kind"] == "ConfigMap"}
    missing = []
    for reference in {found for item in objects for found in references(item)}:
        if reference.kind == "Secret":
            known, keys = reference.name in secrets, secrets.get(reference.name, set())
        else:
            known, keys = (reference.kind, reference.name) in there, data.get(reference.name, set())
        if not known or (reference.key and reference.kind in ("Secret", "ConfigMap") and reference.key not in keys):
            missing.append(reference)
    return sorted(missing, key=str)

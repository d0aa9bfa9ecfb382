"""Everything that is wrong with what an overlay renders, by rule."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.manifests import pod_security, schemas
from tests.manifests.pods import SERVING, Pod, pods_of
from tests.manifests.references import dangling
from tests.manifests.render import PROJECT

Objects = list[dict[str, Any]]
NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?")
LONGEST = 63
SECRET_FIELD = re.compile(r"(?i)(password|passwd|secret|token|credential|api[-_]?key|private[-_]?key)")
SECRET_VALUE = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@{]+:[^/\s@{]+@|ghp_\w{30,}|eyJ\w{20,}"
)
# Fields whose name speaks of secrets and whose value is a name, a path or a switch.
NO_SECRET = re.compile(
    r"(?i)(name|ref|path|file|audience|store|expirationseconds|automount\w*|accesskeykey|secretkeykey)$"
)


def documented_secrets() -> dict[str, set[str]]:
    """The Secrets that a cluster must have, by name, with their keys: what the component external-secrets makes."""
    text = (PROJECT / "kustomize/components/external-secrets/external-secrets.yaml").read_text(encoding="utf-8")
    found = {}
    for item in yaml.safe_load_all(text):
        template = item["spec"]["target"].get("template")
        keys = template["data"] if template else [entry["secretKey"] for entry in item["spec"]["data"]]
        found[item["metadata"]["name"]] = set(keys)
    return found


def schema(objects: Objects) -> Iterator[str]:
    """What the API server would refuse."""
    for item in objects:
        yield from (f"{_title(item)}: {problem}" for problem in schemas.problems(item))


def restricted(objects: Objects) -> Iterator[str]:
    """Pods that the namespace's Pod Security would refuse."""
    for pod in _pods(objects):
        if pod.whole:
            yield from (f"{pod.owner}: {violation}" for violation in pod_security.violations(pod.spec))


def resources(objects: Objects) -> Iterator[str]:
    """Containers without requests for CPU and memory, or without a limit on memory."""
    for pod in _pods(objects):
        for container in _containers(pod):
            given = container.get("resources") or {}
            for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if not (given.get(kind) or {}).get(name):
                    yield f"{pod.owner}: container {container['name']} has no {kind}.{name}"


def probes(objects: Objects) -> Iterator[str]:
    """Containers that serve and do not say how one can tell."""
    for item in objects:
        if item["kind"] in SERVING:
            for pod in pods_of(item):
                for container in pod.spec["containers"]:
                    for probe in ("readinessProbe", "livenessProbe"):
                        if probe not in container:
                            yield f"{pod.owner}: container {container['name']} has no {probe}"


def images(objects: Objects) -> Iterator[str]:
    """Images that may be another one tomorrow."""
    for pod in _pods(objects):
        for container in _containers(pod):
            image = container.get("image")
            if image is None and pod.owner.startswith("FeatureStore/"):
                continue  # the operator's own, of its release
            tag = (image or "").rpartition("/")[2]
            if "@sha256:" not in tag and tag.partition(":")[2] in ("", "latest"):
                yield f"{pod.owner}: container {container['name']} has image '{image}'"


def names(objects: Objects) -> Iterator[str]:
    """Names that are no DNS labels of at most 63 characters, and objects that are there twice."""
    seen = set()
    for item in objects:
        name = item["metadata"]["name"]
        if not NAME.fullmatch(name) or len(name) > LONGEST:
            yield f"{_title(item)}: not a name"
        key = (item["apiVersion"], item["kind"], item["metadata"].get("namespace"), name)
        if key in seen:
            yield f"{_title(item)}: twice"
        seen.add(key)


def secrets(objects: Objects) -> Iterator[str]:
    """Secrets, and values that look like one."""
    for item in objects:
        if item["kind"] == "Secret":
            yield f"{_title(item)}: a Secret in Git"
        for path, value in _strings(item):
            holds = path[-2:-1] == ("env",) or (item["kind"] == "ConfigMap" and path[0] == "data")
            named = SECRET_FIELD.search(path[-1]) and not NO_SECRET.search(path[-1])
            if SECRET_VALUE.search(value) or (holds and named):
                yield f"{_title(item)}: {'.'.join(path)} looks like a secret"


def dangling_references(objects: Objects) -> Iterator[str]:
    """Names of what is not there."""
    for found in dangling(objects, documented_secrets()):
        yield f"{found.owner}: there is no {found.kind} {found.name} {found.key}".rstrip()


def idle_selectors(objects: Objects) -> Iterator[str]:
    """Services, policies and budgets that select no pod."""
    labels = [pod.labels for pod in _pods(objects)]
    for item in objects:
        for where, selector in _selectors(item):
            if not any(selects(selector, pod) for pod in labels):
                yield f"{_title(item)}: {where} selects no pod"


def unspoken_namespaces(objects: Objects) -> Iterator[str]:
    """Namespaced objects without a namespace, which would go wherever kubectl happens to point, and the reverse."""
    for item in objects:
        if (item["kind"] in CLUSTER_SCOPED) == ("namespace" in item["metadata"]):
            yield f"{_title(item)}: namespace {item['metadata'].get('namespace')}"


CLUSTER_SCOPED = frozenset(
    {
        "Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ClusterQueue", "ResourceFlavor",
        "WorkloadPriorityClass", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
    }
)  # fmt: skip
RULES: dict[str, Callable[[Objects], Iterator[str]]] = {
    "schema": schema,
    "restricted": restricted,
    "resources": resources,
    "probes": probes,
    "images": images,
    "names": names,
    "secrets": secrets,
    "references": dangling_references,
    "selectors": idle_selectors,
    "namespaces": unspoken_namespaces,
}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod with these labels; an empty one takes all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        value = labels.get(rule["key"])
        taken = {
            "In": value in rule.get("values", []),
            "NotIn": value not in rule.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not taken:
            return False
    return True


def _selectors(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = item.get("spec") or {}
    if item["kind"] == "Service" and spec.get("selector"):
        yield "selector", {"matchLabels": spec["selector"]}
    if item["kind"] == "PodDisruptionBudget":
        yield "selector", spec["selector"]
    if item["kind"] == "NetworkPolicy":
        yield "podSelector", spec["podSelector"]
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction) or []:
                for peer in rule.get(side) or []:
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        yield f"{direction} peer {peer['podSelector']}", peer["podSelector"]


def _strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
            yield (*path[:-1], "env", value["name"]), value["value"]
        for key, part in value.items():
            yield from _strings(part, (*path, str(key)))
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, path)
    elif isinstance(value, str):
        yield path, value


def _pods(objects: Objects) -> Iterator[Pod]:
    for item in objects:
        yield from pods_of(item)


def _containers(pod: Pod) -> Iterator[dict[str, Any]]:
    for group in ("initContainers", "containers"):
        yield from pod.spec.get(group) or []


def _title(item: dict[str, Any]) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"

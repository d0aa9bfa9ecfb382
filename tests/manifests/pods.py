"""The pods that an object makes, whatever its kind: their labels, and their spec as the API server would see it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Their pods stand until they are deleted; of any other kind's, one that ends is done.
SERVING = ("Deployment", "StatefulSet", "DaemonSet", "FeatureStore", "InferenceService")
# What Argo's controller puts on every pod of a workflow.
WORKFLOW = {"workflows.argoproj.io/workflow": "some"}


@dataclass(frozen=True)
class Pod:
    """A pod template.

    Attributes:
        owner: kind and name of the object.
        labels: those that its pods carry, also those that a controller adds.
        spec: the pod's spec.
        whole: whether all of the spec is known here; the rest of a KFP pod is KFP's.
    """

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any]
    whole: bool = True


def pods_of(item: dict[str, Any]) -> Iterator[Pod]:
    """The pods that an object makes."""
    owner = f"{item['kind']}/{item['metadata']['name']}"
    special = {
        "CronWorkflow": _of_cron_workflow,
        "PipelineVersion": _of_pipeline_version,
        "SparkApplication": _of_spark_application,
        "FeatureStore": _of_feature_store,
        "TrainingRuntime": _of_training_runtime,
        "InferenceService": _of_inference_service,
    }.get(item["kind"])
    yield from special(owner, item) if special else _nested(owner, item)


def _nested(owner: str, value: Any, labels: dict[str, str] | None = None) -> Iterator[Pod]:
    """Any mapping with containers is a pod's spec, and the metadata beside it are the pod's."""
    if isinstance(value, list):
        for part in value:
            yield from _nested(owner, part)
    elif isinstance(value, dict):
        if value.get("containers"):
            yield Pod(owner, labels or {}, value)
            return
        beside = (value.get("metadata") or {}).get("labels") if isinstance(value.get("metadata"), dict) else None
        for part in value.values():
            yield from _nested(owner, part, beside)


def _of_cron_workflow(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    workflow = item["spec"]["workflowSpec"]
    shared = {
        key: workflow[key]
        for key in ("securityContext", "serviceAccountName", "nodeSelector", "tolerations", "priorityClassName")
        if key in workflow
    }
    for template in workflow["templates"]:
        containers = [template[kind] for kind in ("container", "script") if kind in template]
        if not containers:
            continue
        yield Pod(
            owner,
            {**(template.get("metadata") or {}).get("labels", {}), **WORKFLOW},
            {
                **shared,
                "containers": [{"name": "main", **container} for container in containers],
                "volumes": [*workflow.get("volumes", []), *template.get("volumes", [])],
            },
        )


def _of_training_runtime(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    """A TrainJob becomes a JobSet, whose controller labels the pods."""
    for pod in _nested(owner, item):
        yield Pod(owner, {**pod.labels, "jobset.sigs.k8s.io/jobset-name": "some"}, pod.spec)


def _of_inference_service(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    """KServe labels the pods of each predictor; the container of its ServingRuntime is looked at there."""
    spec = item["spec"]
    for predictor in [spec["predictor"], *(canary["predictor"] for canary in spec.get("canary", []))]:
        labels = {
            **item["metadata"].get("labels", {}),
            **predictor.get("labels", {}),
            "serving.kserve.io/inferenceservice": item["metadata"]["name"],
        }
        if predictor.get("containers"):
            yield Pod(owner, labels, predictor)


def _of_pipeline_version(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    """KFP makes the pod from the image and resources of an executor and the platform configuration beside it."""
    executors = item["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]
    platform = item["spec"]["platformSpec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in executors.items():
        container, config = executor["container"], platform.get(label, {})
        resources = container.get("resources", {})
        given = {
            "requests": {"cpu": "resourceCpuRequest", "memory": "resourceMemoryRequest"},
            "limits": {"cpu": "resourceCpuLimit", "memory": "resourceMemoryLimit"},
        }
        environment = [
            {"name": pair["envVar"], "valueFrom": {f"{kind}KeyRef": {"name": source[name], "key": pair[key]}}}
            for field, kind, name, key in (
                ("secretAsEnv", "secret", "secretName", "secretKey"),
                ("configMapAsEnv", "configMap", "configMapName", "configMapKey"),
            )
            for source in config.get(field, [])
            for pair in source["keyToEnv"]
        ]
        yield Pod(
            f"{owner}/{label}",
            {**config.get("podMetadata", {}).get("labels", {}), **WORKFLOW},
            {
                "securityContext": config.get("securityContext", {}),
                "containers": [
                    {
                        "name": "main",
                        "image": container["image"],
                        "resources": {
                            kind: {name: resources[field] for name, field in fields.items() if field in resources}
                            for kind, fields in given.items()
                        },
                        "env": [*container.get("env", []), *environment],
                    }
                ],
            },
            whole=False,
        )


def _of_spark_application(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    """The operator makes a driver and executors; a pod template given there is what it starts from."""
    spec = item["spec"]
    for role in ("driver", "executor"):
        given = spec[role]
        template = given.get("template") or {}
        inner = template.get("spec") or {}
        containers = [dict(container) for container in inner.get("containers") or [{"name": f"spark-{role}"}]]
        main = containers[0]
        main.setdefault("image", given.get("image", spec.get("image", "")))
        if "securityContext" in given:
            main["securityContext"] = given["securityContext"]
        memory = given["memory"]
        main["resources"] = {
            "requests": {"cpu": given.get("coreRequest", given.get("cores")), "memory": memory},
            "limits": {"cpu": given.get("coreLimit"), "memory": given.get("memoryLimit", memory)},
        }
        main["env"] = [*main.get("env", []), *given.get("env", [])]
        yield Pod(
            f"{owner}/{role}",
            {**(template.get("metadata") or {}).get("labels", {}), **given.get("labels", {}), "spark-role": role},
            {
                **inner,
                "containers": containers,
                "securityContext": given.get("podSecurityContext", inner.get("securityContext", {})),
                "serviceAccountName": given.get("serviceAccount", inner.get("serviceAccountName")),
                "priorityClassName": given.get("priorityClassName", inner.get("priorityClassName")),
                "nodeSelector": given.get("nodeSelector", {}),
                "tolerations": given.get("tolerations", []),
                "volumes": [*inner.get("volumes", []), *spec.get("volumes", [])],
            },
        )


def _of_feature_store(owner: str, item: dict[str, Any]) -> Iterator[Pod]:
    """What Feast's operator makes of it: it takes a pod's security context, and has none for containers.

    Those are given by the MutatingAdmissionPolicy loopline-feature-store, which a test of its own looks at.
    """
    services = item["spec"]["services"]
    by_policy = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    probes = {probe: {"tcpSocket": {"port": 6566}} for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    server = services["onlineStore"]["server"]
    yield Pod(
        owner,
        {"feast.dev/name": item["metadata"]["name"]},
        {
            "securityContext": services.get("securityContext", {}),
            "containers": [{"name": "online", "securityContext": by_policy, **probes, **server}],
        },
    )

"""Adds to a compiled pipeline what Kubernetes needs: resources, Secrets, labels, time limits, retries, GPU pools.

The DAGs define the order of steps; this is applied to their compiled IR, and a laptop runs the same IR without it. The
result is free of any environment: Secrets and ConfigMaps have the same names everywhere, and a GPU pool is given by
parameters of the run, which are empty by default.
"""

import copy
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from loopline.cluster import stage_pods
from loopline.cluster.stage_pods import StagePods
from loopline.compiler import steps
from loopline.components.contract import environment_policy
from loopline.components.contract.step import StepFacts
from loopline.components.errors import LooplineError
from loopline.images import catalogue

USER = 65532
# The parameters of a run that say where the GPU pool is; with their defaults every step runs on CPUs.
GPU_PARAMETERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "node_selector": {
            "parameterType": "STRUCT",
            "defaultValue": {},
            "isOptional": True,
            "description": "labels that the node of the training step must have.",
        },
        "tolerations": {
            "parameterType": "LIST",
            "defaultValue": [],
            "isOptional": True,
            "description": "taints that the training step tolerates.",
        },
        "gpus": {
            "parameterType": "STRING",
            "defaultValue": "",
            "isOptional": True,
            "description": "number of nvidia.com/gpu that the training step is given; empty for none.",
        },
    }
)
GPU_COUNT = "pipelinechannel--gpus"  # what kfp calls a parameter that only the pod, not the component, is given
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# The promotion log names the run that promoted a version; KFP labels the pods of a run with its id.
RUN_ID = {"name": "LOOPLINE_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}
# For a step that talks to a service that may be away. What fails by its data fails again.
RETRY_POLICY = MappingProxyType({"maxRetryCount": 2, "backoffDuration": "30s", "backoffFactor": 2.0})

# Where the environment's release policy and gates are read.
POLICY_STAGES = ("validation", "deployment")


def placed(ir: dict[str, Any], policy: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A compiled pipeline with requests, limits and retries, and the platform configuration that goes with it.

    KFP's own cache is switched off. It identifies an artifact by its URI, and a step that reads or changes something
    outside counts as done: new data would not be ingested, and predictions would not be published.

    Args:
        ir: as KFP compiles it; images are named ``loopline-<stage>``.
        policy: the ConfigMap with the policy.yaml of the use case; empty for none.

    Returns:
        the IR, and the content of its second document (``platforms``).

    Raises:
        LooplineError: an image belongs to no stage, a step is not declared, or one for GPUs is in a nested pipeline.
    """
    ir = copy.deepcopy(ir)
    executors = ir["deploymentSpec"]["executors"]
    platform = {}
    for label, executor in executors.items():
        container = executor["container"]
        name = catalogue.stage_of(container["image"])
        if name not in stage_pods.STAGES:
            raise LooplineError(
                f"nothing says what the pods of image {container['image']} are given; see {stage_pods.__file__}"
            )
        stage = stage_pods.STAGES[name]
        container["resources"] = _resources(stage)
        if stage.environment:
            variables = [{"name": key, "value": value} for key, value in sorted(stage.environment.items())]
            container["env"] = [*container.get("env", []), *variables]
        gpu = steps.facts(*steps.of_executor(executor)).gpu
        platform[label] = _pod(name, stage, policy if name in POLICY_STAGES else "", queued=not gpu)
    for task in _tasks(ir):
        if "cachingOptions" in task:
            task["cachingOptions"] = {}
        facts = _facts_of(ir, task)
        if facts and facts.calls_service:
            task["retryPolicy"] = dict(RETRY_POLICY)
    _offer_gpus(ir, platform)
    return ir, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": _checked(platform)}}}}


def _resources(stage: StagePods) -> dict[str, Any]:
    return {
        "resourceCpuRequest": stage.cpu[0],
        "resourceCpuLimit": stage.cpu[1],
        "resourceMemoryRequest": stage.memory[0],
        "resourceMemoryLimit": stage.memory[1],
    }


def _pod(name: str, stage: StagePods, policy: str, *, queued: bool) -> dict[str, Any]:
    """The Kubernetes part of an executor, as kfp-kubernetes writes it.

    KFP takes labels at compile time only. So a step whose queue depends on the environment, because it runs on a CPU
    here and on a GPU there, has none: training that has to wait in a GPU queue runs as a TrainJob.
    """
    secrets = [
        {
            "secretName": secret,
            "secretNameParameter": _constant(secret),
            "keyToEnv": [{"secretKey": key, "envVar": variable} for key, variable in keys.items()],
            "optional": secret in stage.optional,
        }
        for secret, keys in {**stage.secrets, **stage.optional}.items()
    ]
    variables = []
    if "loopline-s3" in stage.secrets:
        keys = {key: key for key in stage_pods.OBJECT_STORE}
        variables.append(_from_config_map("loopline-object-store", keys, optional=False))
    if policy:
        keys = {environment_policy.FILE: environment_policy.VARIABLE}
        variables.append(_from_config_map(policy, keys, optional=True))
    return {
        "podMetadata": {"labels": {**pod_labels(name), **({QUEUE_LABEL: "cpu"} if queued else {})}},
        "securityContext": {"runAsUser": str(USER), "runAsGroup": str(USER), "runAsNonRoot": True},
        "activeDeadlineSeconds": str(int(stage.timeout.total_seconds())),
        "fieldPathAsEnv": [RUN_ID],
        **({"secretAsEnv": secrets} if secrets else {}),
        **({"configMapAsEnv": variables} if variables else {}),
    }


def _from_config_map(name: str, keys: Mapping[str, str], *, optional: bool) -> dict[str, Any]:
    return {
        "configMapName": name,
        "configMapNameParameter": _constant(name),
        "keyToEnv": [{"configMapKey": key, "envVar": variable} for key, variable in keys.items()],
        "optional": optional,
    }


def pod_labels(component: str) -> dict[str, str]:
    """The labels of every pod of ours; policies select by ``app.kubernetes.io/component``."""
    return {
        "app.kubernetes.io/name": f"loopline-{component}",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "loopline",
    }


def _offer_gpus(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    """Let a run place its GPU steps on a GPU pool, as ``add_node_selector_json`` and its siblings would."""
    placed = [task for task in _tasks(ir) if (facts := _facts_of(ir, task)) and facts.gpu]
    if not placed:
        return
    for task in placed:
        if task not in ir["root"]["dag"]["tasks"].values():
            name = task["taskInfo"]["name"]
            raise LooplineError(
                f"the step {name} stands in a nested pipeline, where the run's parameters do not reach it"
            )
    ir["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {}).update(
        {name: dict(definition) for name, definition in GPU_PARAMETERS.items()}
    )
    for task in placed:
        label = ir["components"][task["componentRef"]["name"]]["executorLabel"]
        task.setdefault("inputs", {}).setdefault("parameters", {})[GPU_COUNT] = {"componentInputParameter": "gpus"}
        ir["deploymentSpec"]["executors"][label]["container"]["resources"]["accelerator"] = {
            "resourceType": "nvidia.com/gpu",
            "resourceCount": f"{{{{$.inputs.parameters['{GPU_COUNT}']}}}}",
        }
        platform[label]["nodeSelector"] = {"nodeSelectorJson": {"componentInputParameter": "node_selector"}}
        platform[label]["tolerations"] = [{"tolerationJson": {"componentInputParameter": "tolerations"}}]


def _tasks(ir: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for component in (ir["root"], *ir["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).values()


def _facts_of(ir: Mapping[str, Any], task: Mapping[str, Any]) -> StepFacts | None:
    """The facts of the step that a task runs; None for a nested DAG."""
    label = ir["components"][task["componentRef"]["name"]].get("executorLabel")
    return steps.facts(*steps.of_executor(ir["deploymentSpec"]["executors"][label])) if label else None


def _constant(value: str) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def _checked(platform: Mapping[str, Any]) -> dict[str, Any]:
    """The same after a round trip through kfp-kubernetes' message, which refuses unknown fields."""
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2 as messages

    def checked(config: Any) -> Any:
        return json_format.MessageToDict(json_format.ParseDict(config, messages.KubernetesExecutorConfig()))

    return {label: checked(config) for label, config in platform.items()}

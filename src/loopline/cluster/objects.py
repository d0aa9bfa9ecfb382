"""What Kubernetes holds of one use case, as a kustomize base: pipelines, schedules, endpoint, feature store, policy."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline import project
from loopline.cluster import names, placement, schedules
from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import environment_policy, usecase
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest
from loopline.images import catalogue, code

API = "pipelines.kubeflow.org/v2beta1"
INTERFACE = "loopline.dev/interface-"
TEMPLATE = Path("manifests/usecase-template")
KUSTOMIZATION = "kustomization.yaml"
CONFIGURATION = "kustomizeconfig.yaml"
HEADER = "# Made by `loopline compile`; do not edit.\n"

Files = dict[str, str]


def write(folder: Path, case: UseCase) -> list[Path]:
    """Write the base of a use case; of the files that were made by an earlier call, those not needed any more go.

    Args:
        folder: the folder of the base, for example manifests/usecases/flights.
        case: the use case.

    Returns:
        the files, in order.

    Raises:
        LooplineError: one of its names would be too long for Kubernetes.
    """
    files = rendered(case)
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            atomic.write_text(path, text)
    for path in folder.rglob("*.yaml"):
        if path.relative_to(folder).as_posix() not in files and path.read_text(encoding="utf-8").startswith(HEADER):
            path.unlink()
    return [folder / name for name in files]


def rendered(case: UseCase) -> Files:
    """The text of each file of a use case's base, by its path in it.

    Args:
        case: the use case.

    Raises:
        LooplineError: one of its names would be too long for Kubernetes.
    """
    tag = project.version()
    files = _from_template(case)
    resources = [name for name in files if "/" not in name and name != environment_policy.FILE]
    versions, executors = {}, set()
    for name in pipeline_ir.PIPELINES:
        pipeline, version = pipeline_objects(case, name, tag)
        versions[name] = version["metadata"]["name"]
        executors |= version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].keys()
        files[f"pipelines/{name}.yaml"] = HEADER + pipeline_ir.as_yaml(pipeline, version)
        resources.append(f"pipelines/{name}.yaml")
    workflows = schedules.cron_workflows(case, versions, tag)
    if workflows:
        files["schedules.yaml"] = HEADER + pipeline_ir.as_yaml(*workflows)
        resources.append("schedules.yaml")
    files[KUSTOMIZATION] = HEADER + pipeline_ir.as_yaml(_kustomization(case, sorted(resources)))
    files[CONFIGURATION] = HEADER + pipeline_ir.as_yaml(_configuration(sorted(executors)))
    return dict(sorted(files.items()))


def pipeline_objects(case: UseCase, name: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ``Pipeline`` and the ``PipelineVersion`` of a use case's pipeline.

    A version never changes on a cluster, so its name carries a digest of its content.

    Args:
        case: the use case; what it says of the pipeline's parameters is their default.
        name: the pipeline.
        tag: tag of its images.

    Raises:
        LooplineError: the name would be too long for Kubernetes.
    """
    pipeline, full_name = pipeline_ir.load(name), names.pipeline_name(case, name)
    ir = pipeline_ir.with_images(pipeline_ir.ir_of(pipeline), dict.fromkeys(catalogue.STAGES, tag))
    ir["pipelineInfo"]["name"] = full_name
    ir = pipeline_ir.with_defaults(ir, {"usecase": case.package, **parameters.defaults(name, case)})
    spec, platform = placement.placed(ir, names.policy_name(case))
    content = digest.of_value([spec, platform]).removeprefix(digest.PREFIX)[:12]
    stages = sorted(
        {
            catalogue.stage_of(executor["container"]["image"])
            for executor in spec["deploymentSpec"]["executors"].values()
        }
    )
    return (
        {
            "apiVersion": API,
            "kind": "Pipeline",
            "metadata": {"name": full_name},
            "spec": {
                "displayName": f"{case.spec.name}: {pipeline.name.replace('-', ' ')}",
                "description": " ".join(pipeline.description.split()),
            },
        },
        {
            "apiVersion": API,
            "kind": "PipelineVersion",
            "metadata": {
                "name": f"{full_name}-{content}",
                "annotations": {f"{INTERFACE}{stage}": code.interface_digest(stage) for stage in stages},
            },
            "spec": {"pipelineName": full_name, "pipelineSpec": spec, "platformSpec": platform},
        },
    )


def chosen_usecases(folder: Path, packages: Sequence[str]) -> list[UseCase]:
    """The named use cases; without names, all of this project.

    Args:
        folder: the folder ``usecases`` of the project.
        packages: their packages.

    Raises:
        LooplineError: a package is not a use case, or two use cases have the same name.
    """
    here = sorted(path.parent.name for path in folder.glob(f"*/{usecase.SPEC_FILE}"))
    cases = [usecase.load(package) for package in packages or [f"loopline.usecases.{name}" for name in here]]
    found = [names.usecase_name(case) for case in cases]
    for name, case in zip(found, cases, strict=True):
        if found.count(name) > 1:
            raise LooplineError(f"more than one use case is named {case.spec.name}; rename it in {case.folder}")
    return cases


def _from_template(case: UseCase) -> Files:
    """The files of the template with the use case's name, model and package in them."""
    values = {"USECASE": names.usecase_name(case), "MODEL_NAME": case.spec.name, "PACKAGE": case.package}
    folder = project.path(TEMPLATE)
    return {
        path.relative_to(folder).as_posix(): HEADER
        + re.sub(rf"\b({'|'.join(values)})\b", lambda found: values[found[1]], path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.yaml"))
    }


def _kustomization(case: UseCase, resources: list[str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "loopline", "loopline.dev/usecase": case.spec.name}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "loopline",
        "labels": [{"pairs": labels}],
        "resources": resources,
        "configurations": [CONFIGURATION],
        "configMapGenerator": [
            {
                "name": names.policy_name(case),
                "files": [environment_policy.FILE],
                "options": {"disableNameSuffixHash": True},
            }
        ],
    }


def _configuration(executors: Iterable[str]) -> dict[str, Any]:
    """Where these kinds have image names and names of other objects, which kustomize does not know.

    kustomize applies it in the overlays that use the base.
    """
    in_version = "spec/pipelineSpec/deploymentSpec/executors/{}/container/image"
    in_workflow = "spec/workflowSpec/templates/container/image"

    def referred(kind: str, version: str, **paths: str) -> Mapping[str, Any]:
        fields = [{"kind": user, "path": path} for user, path in paths.items()]
        return {"kind": kind, "version": version, "fieldSpecs": fields}

    return {
        "images": [
            *({"kind": "PipelineVersion", "path": in_version.format(label)} for label in executors),
            {"kind": "CronWorkflow", "path": in_workflow},
        ],
        "nameReference": [
            referred("Pipeline", "v2beta1", PipelineVersion="spec/pipelineName"),
            referred("PipelineVersion", "v2beta1", CronWorkflow="spec/workflowSpec/arguments/parameters/value"),
            referred("ConfigMap", "v1", CronWorkflow="spec/workflowSpec/volumes/configMap/name"),
            referred("ServiceAccount", "v1", CronWorkflow="spec/workflowSpec/serviceAccountName"),
        ],
    }

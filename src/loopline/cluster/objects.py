"""The objects in manifests/pipelines: pipelines, their versions, schedules, and what kustomize has to know of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from loopline import project
from loopline.cluster import placement, schedules
from loopline.compiler import pipeline_ir
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest
from loopline.images import catalogue, code

API = "pipelines.kubeflow.org/v2beta1"
INTERFACE = "loopline.dev/interface-"
# Written by people, not by us, in the folder that we keep.
SETTINGS = "cluster.yaml"
KUSTOMIZATION = "kustomization.yaml"
CONFIGURATION = "kustomizeconfig.yaml"
HEADER = "# Made by `make compile`; do not edit.\n"


def write(folder: Path, cases: Iterable[UseCase]) -> list[Path]:
    """Write all objects to a folder; files there that nothing stands behind any more are deleted.

    Args:
        folder: the folder, usually manifests/pipelines.
        cases: the use cases whose schedules are wanted.

    Returns:
        the files, in order.
    """
    files = rendered(cases)
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            atomic.write_text(path, text)
    for path in folder.glob("*.yaml"):
        if path.name not in {*files, SETTINGS}:
            path.unlink()
    return [folder / name for name in files]


def rendered(cases: Iterable[UseCase]) -> dict[str, str]:
    """The text of each file, by name.

    Args:
        cases: the use cases whose schedules are wanted.
    """
    tag = project.version()
    objects = {name: pipeline_objects(name, tag) for name in pipeline_ir.PIPELINES}
    files = {f"{name}.yaml": HEADER + pipeline_ir.as_yaml(*pair) for name, pair in objects.items()}
    versions = {name: pair[1]["metadata"]["name"] for name, pair in objects.items()}
    for case in cases:
        workflows = schedules.cron_workflows(case, versions, tag)
        if workflows:
            files[f"schedules-{case.spec.name}.yaml"] = HEADER + pipeline_ir.as_yaml(*workflows)
    executors = sorted({label for _, version in objects.values() for label in _executors(version)})
    files[KUSTOMIZATION] = HEADER + pipeline_ir.as_yaml(_kustomization(sorted(files)))
    files[CONFIGURATION] = HEADER + pipeline_ir.as_yaml(_configuration(executors))
    return files


def pipeline_objects(name: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ``Pipeline`` and the ``PipelineVersion`` of a pipeline.

    A version never changes on a cluster, so its name carries a digest of its content.

    Args:
        name: the pipeline.
        tag: tag of its images.
    """
    pipeline = pipeline_ir.load(name)
    ir = pipeline_ir.with_images(pipeline_ir.ir_of(pipeline), dict.fromkeys(catalogue.STAGES, tag))
    spec, platform = placement.placed(ir)
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
            "metadata": {"name": pipeline.name},
            "spec": {"displayName": pipeline.name, "description": " ".join(pipeline.description.split())},
        },
        {
            "apiVersion": API,
            "kind": "PipelineVersion",
            "metadata": {
                "name": f"{pipeline.name}-{content}",
                "annotations": {f"{INTERFACE}{stage}": code.interface_digest(stage) for stage in stages},
            },
            "spec": {"pipelineName": pipeline.name, "pipelineSpec": spec, "platformSpec": platform},
        },
    )


def cases_in(folder: Path, packages: Iterable[str]) -> list[UseCase]:
    """The use cases of this project, and others by name.

    Args:
        folder: the folder ``usecases`` of the project.
        packages: packages of use cases that lie elsewhere.

    Raises:
        LooplineError: a package is none, or two have one name, which their schedules would share.
    """
    from loopline.components.contract import usecase

    here = [f"usecases.{path.parent.name}" for path in folder.glob(f"*/{usecase.SPEC_FILE}")]
    cases = [usecase.load(package) for package in sorted({*here, *packages})]
    names = [case.spec.name for case in cases]
    for case in cases:
        if names.count(case.spec.name) > 1:
            raise LooplineError(f"more than one use case is named {case.spec.name}; rename it in {case.folder}")
    return cases


def _executors(version: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"])


def _kustomization(resources: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "configurations": [CONFIGURATION],
        "configMapGenerator": [
            {"name": "loopline-cluster", "files": [SETTINGS], "options": {"disableNameSuffixHash": True}}
        ],
    }


def _configuration(executors: list[str]) -> dict[str, Any]:
    """Where these kinds hold image names and names of other objects: kustomize knows neither of them.

    kustomize hands it on to the overlays that use this folder.
    """
    in_version = "spec/pipelineSpec/deploymentSpec/executors/{}/container/image"
    in_workflow = "spec/workflowSpec/templates/container/image"

    def referred(kind: str, version: str, **paths: str) -> dict[str, Any]:
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

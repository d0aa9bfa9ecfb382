"""Schedules as Argo CronWorkflows: at each moment a small pod that runs ``loopline submit`` and follows the run.

It follows to the end, so that ``Forbid`` keeps a run from overlapping the one before it, and so that the cluster shows
a schedule whose runs fail.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loopline.cluster import names, placement
from loopline.compiler import scheduling
from loopline.components.contract.schedule import Timetable
from loopline.components.contract.usecase import UseCase

if TYPE_CHECKING:
    from hera.workflows import Container

SETTINGS_FOLDER = "/etc/loopline"
TOKEN_FOLDER = "/var/run/secrets/kubeflow/pipelines"  # noqa: S105 - a path, the same that kfp's own client reads
LONGEST_RUN = 24 * 3600


def cron_workflows(case: UseCase, versions: Mapping[str, str], tag: str) -> list[dict[str, Any]]:
    """The CronWorkflows of a use case.

    Args:
        case: the use case.
        versions: name of the PipelineVersion by pipeline.
        tag: tag of the image of the submitting pod.

    Raises:
        LooplineError: a name would be too long for Argo, there is no pipeline of that name, or its window is wrong.
    """
    return [
        _cron_workflow(case, pipeline, scheduling.schedule_of(pipeline, case), versions[pipeline], tag)
        for pipeline in case.spec.schedule.given()
    ]


def _cron_workflow(case: UseCase, pipeline: str, schedule: Timetable, version: str, tag: str) -> dict[str, Any]:
    from hera.workflows import CronWorkflow, Parameter, RetryStrategy
    from hera.workflows import models as argo

    token = argo.ServiceAccountTokenProjection(audience="pipelines.kubeflow.org", expiration_seconds=3600, path="token")
    workflow = CronWorkflow(
        name=names.schedule_name(case, pipeline),
        labels={"app.kubernetes.io/part-of": "loopline", "loopline.dev/usecase": case.spec.name},
        schedules=[schedule.cron],
        timezone=case.spec.timezone,
        concurrency_policy="Forbid",
        starting_deadline_seconds=int(schedule.deadline.total_seconds()),
        successful_jobs_history_limit=schedule.keep_succeeded,
        failed_jobs_history_limit=schedule.keep_failed,
        cron_suspend=schedule.suspend,
        entrypoint="submit",
        arguments=[Parameter(name="version", value=version)],  # a field of its own: kustomize renames it
        service_account_name="loopline-submit",
        automount_service_account_token=True,  # Argo's executor reports the outcome through the Kubernetes API
        active_deadline_seconds=LONGEST_RUN,
        retry_strategy=RetryStrategy(limit=2, retry_policy="OnError"),  # the pod was lost, not the run
        security_context=argo.PodSecurityContext(
            run_as_non_root=True,
            run_as_user=placement.USER,
            run_as_group=placement.USER,
            fs_group=placement.USER,
            seccomp_profile=argo.SeccompProfile(type="RuntimeDefault"),
        ),
        volumes=[
            argo.Volume(name="settings", config_map=argo.ConfigMapVolumeSource(name="loopline-cluster")),
            argo.Volume(
                name="kfp-token",
                projected=argo.ProjectedVolumeSource(sources=[argo.VolumeProjection(service_account_token=token)]),
            ),
            argo.Volume(name="scratch", empty_dir=argo.EmptyDirVolumeSource(size_limit=argo.Quantity("64Mi"))),
        ],
        templates=[_submit(case, pipeline, tag)],
    )
    return dict(workflow.to_dict())


def _submit(case: UseCase, pipeline: str, tag: str) -> "Container":
    from hera.workflows import Container, Resources
    from hera.workflows import models as argo

    def from_secret(variable: str) -> argo.EnvVar:
        key = argo.SecretKeySelector(name="loopline-mlflow", key=variable)
        return argo.EnvVar(name=variable, value_from=argo.EnvVarSource(secret_key_ref=key))

    def from_settings(variable: str) -> argo.EnvVar:
        key = argo.ConfigMapKeySelector(name="loopline-object-store", key=variable)
        return argo.EnvVar(name=variable, value_from=argo.EnvVarSource(config_map_key_ref=key))

    return Container(
        name="submit",
        image=f"loopline-pipelines:{tag}",
        image_pull_policy="IfNotPresent",
        command=["loopline"],
        args=[
            "submit",
            pipeline.replace("_", "-"),
            "--usecase",
            case.package,
            "--version",
            "{{workflow.parameters.version}}",
            "--at",
            "{{workflow.scheduledTime}}",
            "--follow",
        ],
        env=[
            argo.EnvVar(name="LOOPLINE_CLUSTER", value=f"{SETTINGS_FOLDER}/cluster.yaml"),
            argo.EnvVar(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of this pod
            from_settings("LOOPLINE_BUCKET"),
            from_secret("MLFLOW_TRACKING_USERNAME"),
            from_secret("MLFLOW_TRACKING_PASSWORD"),
        ],
        resources=Resources(cpu_request="100m", cpu_limit="500m", memory_request="256Mi", memory_limit="512Mi"),
        volume_mounts=[
            argo.VolumeMount(name="settings", mount_path=SETTINGS_FOLDER, read_only=True),
            argo.VolumeMount(name="kfp-token", mount_path=TOKEN_FOLDER, read_only=True),
            argo.VolumeMount(name="scratch", mount_path="/tmp"),  # noqa: S108
        ],
        security_context=argo.SecurityContext(
            allow_privilege_escalation=False,
            capabilities=argo.Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        labels=placement.pod_labels("pipelines"),
    )

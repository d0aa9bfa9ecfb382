"""Checks of a cluster: what a run needs there, and what to do about what is missing."""

from collections.abc import Iterator

from loopline.checks import CheckResult, run_check
from loopline.cluster import names, stage_pods, token
from loopline.cluster.gpu_pool import gpu_pool
from loopline.cluster.kfp_client import KfpClient, PipelineVersion
from loopline.cluster.kube import Kube
from loopline.cluster.needs import images, secrets
from loopline.cluster.settings import Cluster
from loopline.compiler import pipeline_ir
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.images import catalogue


def run_checks(cluster: Cluster, case: UseCase) -> Iterator[CheckResult]:
    """Look at everything that runs of a use case on a cluster need. Nothing is changed."""
    kube, server = Kube(cluster.namespace), KfpClient(cluster)
    yield run_check("token", lambda: _token(cluster))
    kfp = run_check("KFP", lambda: _server(cluster, server))
    yield kfp
    yield run_check("namespace", lambda: _namespace(kube))
    yield run_check("pod security", lambda: _pod_security(kube))
    yield from secrets(kube, stage_pods.STAGES)
    yield run_check("GPU pool", lambda: gpu_pool(cluster, kube))
    for pipeline in pipeline_ir.PIPELINES:
        name = names.pipeline_name(case, pipeline)
        if kfp.status != "ok":
            yield CheckResult(f"pipeline {name}", "skipped", "not checked: KFP does not answer")
            continue
        try:
            version = server.version(name)
        except LooplineError as error:
            yield CheckResult(f"pipeline {name}", "failed", str(error))
            continue
        yield from images(kube, version)


def require_ready(cluster: Cluster, version: PipelineVersion) -> None:
    """Refuse a run that cannot succeed, before anything is started.

    Args:
        cluster: the settings.
        version: the pipeline version to run.

    Raises:
        LooplineError: a check failed. Skipped checks, of what cannot be read from here, do not prevent a run.
    """
    kube = Kube(cluster.namespace)
    results = [*secrets(kube, {stage for image in version.images if (stage := catalogue.stage_of(image))})]
    if "gpus" in version.parameters:
        results.append(run_check("GPU pool", lambda: gpu_pool(cluster, kube)))
    results += images(kube, version)
    failed = [result.message for result in results if result.status == "failed"]
    if failed:
        raise LooplineError("; ".join(failed))


def _token(cluster: Cluster) -> CheckResult:
    key, origin = token.read(cluster.kfp), token.origin(cluster.kfp)
    if not key:
        return CheckResult("token", "skipped", "there is none; a single-user KFP server needs none")
    until = token.expires(key)
    return CheckResult("token", "ok", f"from {origin}" + (f", until {until:%Y-%m-%d %H:%M} UTC" if until else ""))


def _server(cluster: Cluster, server: KfpClient) -> CheckResult:
    server.check()
    return CheckResult("KFP", "ok", f"{cluster.kfp.endpoint} answers and lists runs of namespace {cluster.namespace}")


def _namespace(kube: Kube) -> CheckResult:
    if kube.namespace_labels() is None:
        return CheckResult(
            "namespace",
            "failed",
            f"there is no namespace {kube.namespace}; apply an overlay, or correct namespace in the settings",
        )
    return CheckResult("namespace", "ok", f"{kube.namespace} exists")


def _pod_security(kube: Kube) -> CheckResult:
    level = (kube.namespace_labels() or {}).get("pod-security.kubernetes.io/enforce", "nothing")
    if level != "restricted":
        return CheckResult(
            "pod security",
            "failed",
            f"namespace {kube.namespace} enforces {level}, so any pod may run as root; apply manifests/platform, "
            "which labels it pod-security.kubernetes.io/enforce: restricted",
        )
    return CheckResult("pod security", "ok", "restricted is enforced")

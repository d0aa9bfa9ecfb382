"""Checks of a cluster: what a run needs there, each answered with good, wrong and what to do, or not to be told."""

from collections.abc import Iterator

from loopline.checks import Finding, checked
from loopline.cluster import placement, token
from loopline.cluster.gpu_pool import gpu_pool
from loopline.cluster.kube import Kube
from loopline.cluster.needs import images, secrets
from loopline.cluster.server import Server, Version
from loopline.cluster.settings import Cluster
from loopline.compiler import pipeline_ir
from loopline.components.errors import LooplineError
from loopline.images import catalogue


def examine(cluster: Cluster) -> Iterator[Finding]:
    """Look at everything that runs on a cluster need. Nothing is changed."""
    kube, server = Kube(cluster.namespace), Server(cluster)
    yield checked("token", lambda: _token(cluster))
    answer = checked("KFP", lambda: _server(cluster, server))
    yield answer
    yield checked("namespace", lambda: _namespace(kube))
    yield checked("pod security", lambda: _pod_security(kube))
    yield from secrets(kube, placement.STAGES)
    yield checked("GPU pool", lambda: gpu_pool(cluster, kube))
    for pipeline in pipeline_ir.PIPELINES:
        name = pipeline.replace("_", "-")
        if answer.state != "good":
            yield Finding(f"pipeline {name}", "skipped", "KFP has to answer first")
            continue
        try:
            version = server.version(name)
        except LooplineError as error:
            yield Finding(f"pipeline {name}", "wrong", str(error))
            continue
        yield from images(kube, version)


def require_ready(cluster: Cluster, version: Version) -> None:
    """Refuse a run that could only fail: before anything is started.

    Args:
        cluster: the settings.
        version: what is to be run.

    Raises:
        LooplineError: something is wrong; what cannot be seen from here is taken for good.
    """
    kube = Kube(cluster.namespace)
    findings = [*secrets(kube, {stage for image in version.images if (stage := catalogue.stage_of(image))})]
    if "gpus" in version.parameters:
        findings.append(checked("GPU pool", lambda: gpu_pool(cluster, kube)))
    findings += images(kube, version)
    wrong = [finding.sentence for finding in findings if finding.state == "wrong"]
    if wrong:
        raise LooplineError("; ".join(wrong))


def _token(cluster: Cluster) -> Finding:
    key, origin = token.read(cluster.kfp), token.origin(cluster.kfp)
    if not key:
        return Finding("token", "skipped", "none is given; a KFP server without accounts asks for none")
    until = token.expires(key)
    return Finding("token", "good", f"from {origin}" + (f", until {until:%Y-%m-%d %H:%M} UTC" if until else ""))


def _server(cluster: Cluster, server: Server) -> Finding:
    server.check()
    return Finding("KFP", "good", f"{cluster.kfp.endpoint} answers and shows runs of namespace {cluster.namespace}")


def _namespace(kube: Kube) -> Finding:
    if kube.namespace_labels() is None:
        return Finding(
            "namespace",
            "wrong",
            f"there is no namespace {kube.namespace}; apply an overlay, or correct namespace in the settings",
        )
    return Finding("namespace", "good", f"{kube.namespace} is there")


def _pod_security(kube: Kube) -> Finding:
    enforced = (kube.namespace_labels() or {}).get("pod-security.kubernetes.io/enforce", "nothing")
    if enforced != "restricted":
        return Finding(
            "pod security",
            "wrong",
            f"namespace {kube.namespace} enforces {enforced}, so any pod may run as root; apply manifests/platform, "
            "which labels it pod-security.kubernetes.io/enforce: restricted",
        )
    return Finding("pod security", "good", "restricted is enforced")

"""The cluster that runs SparkApplications, for the step that creates one."""

from loopline.components.io.kubernetes_api import KubernetesApi, Resource

SPARK_APPLICATIONS = Resource("sparkoperator.k8s.io", "v1beta2", "sparkapplications")
ROLE = "Role loopline-batches of manifests/batch"
INSTALL = "install the Spark operator as manifests/upstream says, or use engine local"
WITHOUT_CLUSTER = (
    "engine spark needs a Kubernetes cluster, and this is not a pod and has no kubeconfig; use engine local"
)


def connect() -> KubernetesApi:
    """The API of the cluster that this pod runs in, or that the kubeconfig names.

    Raises:
        LooplineError: there is no cluster.
    """
    return KubernetesApi.connect(ROLE, INSTALL, WITHOUT_CLUSTER)

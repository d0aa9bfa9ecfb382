"""SparkApplications in the Kubernetes API, and what a step is told when it may not have them."""

from loopline.components.io.kubernetes_api import Access, CustomObjects

GROUP, VERSION, PLURAL = "sparkoperator.k8s.io", "v1beta2", "sparkapplications"
ROLE = "Role loopline-batches of manifests/batch"
ABSENT = "install the Spark operator as manifests/upstream says, or use engine local"
ALONE = "engine spark needs a Kubernetes cluster, and this is no pod and has no kubeconfig; use engine local"


def spark_applications() -> CustomObjects:
    """The SparkApplications of the cluster that this pod runs in, or that the kubeconfig names.

    Raises:
        LooplineError: there is no cluster.
    """
    return CustomObjects(Access.connect(ROLE, ABSENT, ALONE), GROUP, VERSION, PLURAL)

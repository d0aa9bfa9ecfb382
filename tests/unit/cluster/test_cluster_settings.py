"""Settings of a cluster: strict, and free of secrets and of any one environment."""

import pytest

from loopline import project
from loopline.cluster import settings as settings_module
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError

COMMITTED = project.ROOT / "manifests" / "pipelines" / "cluster.yaml"


@pytest.fixture
def in_a_pod(monkeypatch, tmp_path):
    """A pod of namespace loopline."""
    (tmp_path / "namespace").write_text("loopline")
    monkeypatch.setattr(settings_module, "NAMESPACE_OF_POD", tmp_path / "namespace")


def test_outside_of_a_pod_they_have_to_name_the_namespace(tmp_path, monkeypatch):
    monkeypatch.setattr(settings_module, "NAMESPACE_OF_POD", tmp_path / "none")
    with pytest.raises(LooplineError, match="name no namespace, and this is not one of its pods; add `namespace:`"):
        Cluster.read(COMMITTED)


def test_as_committed_they_are_the_inside_of_a_cluster(in_a_pod, monkeypatch):
    cluster = Cluster.read(COMMITTED)
    assert cluster.namespace == "loopline"
    assert cluster.features("flights") == "s3://loopline/features/flights"
    assert cluster.gpu is None
    monkeypatch.setenv("LOOPLINE_BUCKET", "acme-ml")
    assert cluster.predictions("flights") == "s3://acme-ml/predictions/flights"


def test_by_variable(settings, monkeypatch):
    monkeypatch.setenv("LOOPLINE_CLUSTER", str(settings()))
    assert Cluster.read(None) == Cluster.read(settings())


def test_none_is_named():
    with pytest.raises(LooplineError, match="no cluster is named; pass --cluster FILE or set LOOPLINE_CLUSTER"):
        Cluster.read(None)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LooplineError, match=r"other\.yaml does not exist; copy manifests/pipelines/cluster\.yaml"):
        Cluster.read(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"namespcae": "x"}, "namespcae: unknown key; did you mean 'namespace'"),
        ({"kfp__endpiont": "x"}, r"kfp\.endpiont: unknown key; did you mean 'endpoint'"),
        ({"kfp__endpoint": "ml-pipeline:8888"}, r"kfp\.endpoint: String should match"),
        ({"namespace": "Loop_Line"}, "namespace: String should match"),
        ({"training": "gpu"}, "training: Input should be 'pod' or 'trainjob'"),
        ({"gpu": {"gpus": 0}}, r"gpu\.gpus: Input should be greater than or equal to 1"),
        ({"gpu": {"node_selectors": {}}}, r"gpu\.node_selectors: unknown key; did you mean 'node_selector'"),
        ({"gpu": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}, "there is no value"),
        ({"gpu": {"tolerations": [{"effect": "NoSchedule"}]}}, "the operator has to be Exists"),
        ({"gpu": {"tolerations": [{"key": "a", "effect": "Never"}]}}, "Input should be 'NoSchedule'"),
    ],
)
def test_bad_settings(settings, change, problem):
    with pytest.raises(LooplineError, match=problem):
        Cluster.read(settings(**change))


def test_a_pool_is_said_in_one_place(settings):
    path = settings(gpu={"gpus": 1})
    path.with_name("gpu.yaml").write_text("gpus: 2\n")
    with pytest.raises(LooplineError, match=r"both describe a GPU pool"):
        Cluster.read(path)


def test_a_broken_pool(settings):
    path = settings()
    path.with_name("gpu.yaml").write_text("gpu: 2\n")
    with pytest.raises(LooplineError, match=r"gpu\.yaml: gpu: unknown key; did you mean 'gpus'"):
        Cluster.read(path)


@pytest.mark.parametrize("bucket", ["", "Not A Bucket", "a/b"])
def test_a_bucket_that_is_none(settings, monkeypatch, bucket):
    monkeypatch.setenv("LOOPLINE_BUCKET", bucket)
    with pytest.raises(LooplineError, match="needs the name of a bucket in the variable LOOPLINE_BUCKET"):
        Cluster.read(settings()).features("flights")

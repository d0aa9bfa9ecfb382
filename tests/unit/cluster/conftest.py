"""Fakes of a KFP server, of MLflow, of the Kubernetes API and of an image registry, and settings that point to them."""

import copy

import pytest
import yaml

from loopline.cluster import objects
from loopline.cluster.settings import Cluster
from loopline.components.contract import usecase
from tests.unit.cluster.fake_http import FakeHttp
from tests.unit.cluster.fake_kfp import FakeKfp, Running


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch, tmp_path):
    for name in ("LOOPLINE_CLUSTER", "LOOPLINE_KFP_TOKEN", "MLFLOW_TRACKING_USERNAME", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOOPLINE_BUCKET", "loopline")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    # the client reads it once, when it is imported
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "no-kubeconfig"))


@pytest.fixture(scope="session")
def case():
    return usecase.load("loopline.usecases.flights")


@pytest.fixture(scope="session")
def compiled(case):
    return {
        name: objects.pipeline_objects(case, name, "0.1.0")[1]
        for name in ("training", "batch_inference", "retrain", "release")
    }


@pytest.fixture
def kfp(compiled):
    fake = FakeKfp()
    for version in compiled.values():
        fake.hold(copy.deepcopy(version))
    with Running(fake):
        yield fake


@pytest.fixture
def mlflow():
    with FakeHttp() as fake:
        fake.answers["/api/2.0/mlflow/registered-models/alias?name=flights&alias=champion"] = {
            "model_version": {"name": "flights", "version": "7"}
        }
        yield fake


@pytest.fixture
def settings(kfp, mlflow, tmp_path):
    """The settings of the fake cluster as a file; call it with changes, ``kfp__token`` for one in a section."""

    def written(**changes):
        content = {
            "kfp": {"endpoint": kfp.address},
            "namespace": "loopline",
            "registry": mlflow.address,
            "tracking": mlflow.address,
            "store": "s3://$LOOPLINE_BUCKET/features",
            "destination": "s3://$LOOPLINE_BUCKET/predictions",
        }
        for key, value in changes.items():
            section, _, name = key.rpartition("__")
            (content[section] if section else content)[name] = value
        path = tmp_path / "cluster.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return written


@pytest.fixture
def cluster(settings):
    return Cluster.read(settings())

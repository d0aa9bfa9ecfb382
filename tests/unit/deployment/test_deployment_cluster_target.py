"""Releases by server-side apply, against a small Kubernetes API."""

import pytest
from kubernetes import client

from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.target import CanaryFailedError, StaleActionError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.targets import cluster as cluster_target
from loopline.components.deployment.targets.cluster import ClusterTarget
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import KubernetesApi
from tests.unit.deployment.fake_cluster import FakeCluster
from tests.unit.deployment.simulated_world import Killed, World
from tests.unit.deployment.test_deployment_render import service


@pytest.fixture(params=["Standard", "Knative"])
def cluster(request):
    made = FakeCluster(service(request.param, "7"))
    yield made
    made.close()


@pytest.fixture
def target(cluster):
    seconds = [0.0]
    configuration = client.Configuration(host=cluster.address)
    configuration.retries = False
    access = KubernetesApi(client.ApiClient(configuration), "loopline", cluster_target.ROLE, cluster_target.INSTALL)

    def sleep(length):
        seconds[0] += length

    return ClusterTarget(access, "flights", sleep, lambda: seconds[0])


class ClusterWorld(World):
    """The world, whose endpoint is what the InferenceService says."""

    def __init__(self, target, dies_at=None):
        super().__init__(dies_at=dies_at)
        self.cluster = target

    def record(self):
        return self.cluster.record()

    def store(self, record):
        self.effect(lambda: self.cluster.store(record))

    def apply(self, action, record):
        def change():
            self.cluster.apply(action, record)
            self.split = self.cluster.traffic_split()

        self.effect(change)

    def traffic_split(self):
        return self.cluster.traffic_split()

    def failure(self, record):
        return self.cluster.failure(record)


def released(world):
    controller = world.controller()
    controller.begin("8")
    return controller.reconcile()


def begun(target):
    record = World().controller().begin("8")
    target.store(record)
    return record


def test_a_release_to_its_end(target, cluster):
    cluster.slow = 5
    assert released(ClusterWorld(target)).outcome == "promoted"
    assert target.traffic_split() == TrafficSplit("8")
    assert len(cluster.applied) == 3
    assert target.record().outcome == "promoted"
    assert cluster.service["spec"]["predictor"]["maxReplicas"] == 8, "what is not the release's stays"


@pytest.mark.parametrize("at", [1.5, 2, 4.5, 8, 8.5])
def test_killed_it_is_gone_on_with(target, at):
    world = ClusterWorld(target, dies_at=at)
    with pytest.raises(Killed):
        released(world)
    assert released(world).outcome == "promoted"
    assert target.traffic_split() == TrafficSplit("8")


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff", "ContainerCreating"])
def test_a_canary_that_does_not_become_ready_is_rolled_back(target, cluster, reason):
    cluster.sick["8"] = reason
    if "canaryTrafficPercent" in cluster.service["spec"]["predictor"]:
        cluster.sick["7"] = ""
    record = begun(target)
    expected = "none of its 1 pods was ready after 9 minutes" if reason == "ContainerCreating" else f"is in {reason}"
    with pytest.raises(CanaryFailedError, match=expected):
        target.apply(transitions.next_action(record), record)


def test_health(target, cluster):
    record = begun(target)
    assert target.failure(record) == "no pod of it is ready"
    target.apply(transitions.next_action(record), record)
    assert target.failure(record) is None
    cluster.sick["8"] = "CrashLoopBackOff"
    assert target.failure(record) == "container transformer-container is in CrashLoopBackOff"
    cluster.sick["8"] = "restarts"
    assert target.failure(record) == "a pod of it was restarted 3 times"


def test_somebody_else_applies_these_fields(target, cluster):
    cluster.owner = "argocd-controller"
    record = begun(target)
    with pytest.raises(
        LooplineError, match=r"another field manager owns .*argocd-controller.*: release with target git"
    ):
        target.apply(transitions.next_action(record), record)
    assert cluster.applied == []


@pytest.mark.parametrize("times", [1, cluster_target.ATTEMPTS])
def test_changed_between_reading_and_applying(target, cluster, times):
    """Such as by KServe, which writes the object's status: then the change is made anew, but not for ever."""
    record, meddled = begun(target), []

    def meddle(method, path):
        if method == "PATCH" and len(meddled) < times:
            meddled.append(path)
            cluster.service["metadata"]["resourceVersion"] = f"99{len(meddled)}"

    cluster.before = meddle
    if times < cluster_target.ATTEMPTS:
        target.apply(transitions.next_action(record), record)
        assert target.traffic_split() == TrafficSplit("7", "8", 20)
    else:
        with pytest.raises(StaleActionError, match="was changed in between"):
            target.apply(transitions.next_action(record), record)
        assert cluster.applied == []


def test_of_two_releases_one_begins(target):
    record = begun(target)
    with pytest.raises(LooplineError, match="was changed by another process"):
        target.store(record)
    assert target.record() == record


def test_a_race_for_the_record(target, cluster):
    record = begun(target)
    cluster.before = lambda method, path: (
        method == "PUT" and cluster.config_maps["release-flights"]["metadata"].update(resourceVersion="99")
    )
    with pytest.raises(LooplineError, match="was changed by another process: read it again"):
        target.store(transitions.taken_over(record, record.owner, record.began))


def test_a_stale_action(target):
    record = begun(target)
    action = transitions.next_action(record)
    target.apply(action.model_copy(update={"generation": 3}), record)
    with pytest.raises(StaleActionError, match="and 3 was carried"):
        target.apply(action, record)


def test_no_gateway(target, cluster):
    record = begun(target)
    cluster.gateway = {"data": {"ingress": "{}"}}
    action = transitions.next_action(record)
    if "canaryTrafficPercent" in cluster.service["spec"]["predictor"]:
        target.apply(action, record)  # Knative splits by itself
        return
    with pytest.raises(LooplineError, match="set enableGatewayApi to true"):
        target.apply(action, record)
    assert cluster.applied == []


def test_settings_of_kserve_that_may_not_be_read(target, cluster):
    cluster.gateway = None
    record = begun(target)
    target.apply(transitions.next_action(record), record)
    assert target.traffic_split() == TrafficSplit("7", "8", 20)


def test_no_such_endpoint(target, cluster):
    cluster.service["metadata"]["name"] = "trains"
    with pytest.raises(LooplineError, match="has no InferenceService flights: apply an overlay first"):
        target.traffic_split()


def test_a_damaged_record(target, cluster):
    begun(target)
    cluster.config_maps["release-flights"]["data"] = {"release.json": "{"}
    with pytest.raises(LooplineError, match="is no record of a release"):
        target.record()


def test_the_api_is_away(target):
    host = target.access.client.configuration
    host.host = "http://127.0.0.1:9"  # discard: nobody listens
    with pytest.raises(LooplineError, match="cannot be reached; check the network"):
        target.traffic_split()

"""The Kubernetes client: one exception for each kind of error response, and logs as they are."""

import pytest

from loopline.components.io import kubernetes_errors as errors
from loopline.components.io.kubernetes_api import CONFIG_MAPS, PODS, KubernetesApi, Resource
from tests.loopback_server import LoopbackServer, kubeconfig, status

THINGS = Resource("example.dev", "v1", "things")
PATH = "/apis/example.dev/v1/namespaces/loopline/things"


class FakeApi(LoopbackServer):
    """Gives one response to everything, and keeps the requests."""

    def __init__(self):
        self.response, self.requests = (200, {}), []
        super().__init__()

    def answer(self, request):
        self.requests.append(request)
        return self.response


@pytest.fixture
def server():
    with FakeApi() as fake:
        yield fake


@pytest.fixture
def api(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server, tmp_path / "kubeconfig")))
    return KubernetesApi.connect("Role things", "install them", "no cluster")


@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        ((400, status(400, "unknown field")), errors.BadRequestError, "refuses to create things in namespace loopline"),
        ((401, {}), errors.LooplineError, r"does not accept our token \(401\)"),
        ((403, status(403, "no")), errors.NotPermittedError, r"may not create things .* needs Role things \(no\)"),
        ((404, "404 page not found"), errors.UnknownResourceError, "this cluster has no things: install them"),
        ((409, status(409, "already exists")), errors.ConflictError, "already exists"),
        ((429, {}), errors.UnreachableError, "cannot answer now: 429"),
        ((503, "starting"), errors.UnreachableError, "cannot answer now: 503"),
    ],
)
def test_each_error_response_is_an_exception(response, kind, message, server, api):
    server.response = response
    with pytest.raises(kind, match=message):
        api.create(THINGS, {"metadata": {"name": "a"}})


def test_an_object_that_does_not_exist(server, api):
    server.response = 404, status(404, "not found", "a")
    assert api.get(THINGS, "a") is None
    api.delete(THINGS, "a")
    assert [(r.method, r.path) for r in server.requests] == [("GET", f"{PATH}/a"), ("DELETE", f"{PATH}/a")]
    assert server.requests[1].query == {"propagationPolicy": ["Foreground"]}


def test_server_side_apply_tells_a_conflict_of_managers_from_a_change(server, api):
    body = {"metadata": {"name": "a", "resourceVersion": "3"}, "spec": {}}
    server.response = 409, status(409, 'conflict with "argocd"', cause="FieldManagerConflict")
    with pytest.raises(errors.FieldConflictError):
        api.apply(THINGS, body, "us")
    server.response = 409, status(409, "the object has been modified")
    with pytest.raises(errors.ConflictError) as caught:
        api.apply(THINGS, body, "us")
    assert not isinstance(caught.value, errors.FieldConflictError)
    assert server.requests[0].body == body
    assert server.requests[0].query == {"fieldManager": ["us"]}
    assert server.requests[0].headers["Content-Type"] == "application/apply-patch+yaml"


def test_logs_are_not_parsed(server, api):
    server.response = 200, '{"a": 1}'
    assert api.logs("pod", "main", 5) == '{"a": 1}'
    server.response = 400, status(400, "container is waiting to start")
    assert api.logs("pod", "main", 5) == ""


def test_paths(server, api):
    server.response = 200, {"items": [{}]}
    assert api.list_objects(PODS, "app=a") == [{}]
    assert api.get(CONFIG_MAPS, "c", namespace="kserve")
    assert [r.url for r in server.requests] == [
        "/api/v1/namespaces/loopline/pods?labelSelector=app%3Da",
        "/api/v1/namespaces/kserve/configmaps/c",
    ]


def test_a_server_that_does_not_speak_tls(server, tmp_path, monkeypatch):
    path = kubeconfig(server, tmp_path / "kubeconfig")
    path.write_text(path.read_text().replace("http://", "https://"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(errors.UnreachableError, match=r"cannot be reached .*check the"):
        KubernetesApi.connect("", "", "").get(THINGS, "a")


def test_no_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(errors.NoClusterError, match="no cluster"):
        KubernetesApi.connect("", "", "no cluster")

"""A fake Kubernetes API: one InferenceService with server-side apply, ConfigMaps, and pods that follow."""

import copy
import json

from loopline.components.deployment.kserve import inference_service
from loopline.components.deployment.kserve.inference_service import VERSION
from tests.loopback_server import LoopbackServer, status

SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/loopline/inferenceservices/"
CONFIG_MAPS = "/api/v1/namespaces/loopline/configmaps"
GATEWAY = "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"


class FakeCluster(LoopbackServer):
    """The state of one namespace, and a server in front of it.

    Attributes:
        service: the InferenceService.
        owner: who else owns the fields that a release changes; nobody if empty.
        sick: versions whose pods do not become ready, and why.
        before: called before each request with method and path.
    """

    def __init__(self, service):
        self.service = copy.deepcopy(service)
        self.service["metadata"]["resourceVersion"] = "1"
        self.config_maps = {}
        self.gateway = {"data": {"ingress": json.dumps({"enableGatewayApi": True})}}
        self.owner, self.sick, self.slow = "", {}, 0
        self.applied, self.before = [], lambda method, path: None
        super().__init__()

    def answer(self, request):
        method, path = request.method, request.path
        self.before(method, path)
        if path == GATEWAY:
            return (200, self.gateway) if self.gateway else (403, status(403, "forbidden"))
        if path.startswith(SERVICES):
            if path.removeprefix(SERVICES) != self.service["metadata"]["name"]:
                return 404, status(404, "not found", path.removeprefix(SERVICES))
            return (
                self._apply(request.query, request.headers, request.body) if method == "PATCH" else (200, self.service)
            )
        if path.startswith(CONFIG_MAPS):
            return self._config_map(method, path.removeprefix(CONFIG_MAPS).strip("/"), request.body)
        return 200, {"items": self._pods(request.query["labelSelector"][0].rpartition("=")[2])}

    def _apply(self, query, headers, body):
        assert headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldManager"] == ["loopline-release"]
        assert "force" not in query
        if self.owner:
            message = f'Apply failed with 1 conflict: conflict with "{self.owner}": .spec.predictor.name'
            return 409, status(409, message, cause="FieldManagerConflict")
        metadata = self.service["metadata"]
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            return 409, status(409, "the object has been modified; please apply your changes to the latest version")
        self.applied.append(body)
        former = self.applied[-2]["metadata"]["annotations"] if len(self.applied) > 1 else {}
        for gone in former.keys() - body["metadata"]["annotations"].keys():  # what its manager applies no longer goes
            del metadata["annotations"][gone]
        metadata["annotations"].update(body["metadata"]["annotations"])
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        predictor, own = self.service["spec"]["predictor"], body["spec"]["predictor"]
        predictor["labels"].update(own["labels"])
        predictor["model"].update(own["model"])
        predictor.update({key: own[key] for key in ("name", inference_service.PERCENT) if key in own})
        self.service["spec"].pop("canary", None)
        if "canary" in body["spec"]:
            self.service["spec"]["canary"] = body["spec"]["canary"]
        return 200, self.service

    def _config_map(self, method, name, body):
        if method == "GET":
            return (200, self.config_maps[name]) if name in self.config_maps else (404, status(404, "not found", name))
        name = body["metadata"]["name"]
        stored = self.config_maps.get(name)
        if method == "POST" and stored:
            return 409, status(409, "already exists", name)
        if method == "PUT" and body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            return 409, status(409, "the object has been modified", name)
        version = int(stored["metadata"]["resourceVersion"]) + 1 if stored else 1
        body["metadata"]["resourceVersion"] = str(version)
        self.config_maps[name] = body
        return 200, body

    def _pods(self, version):
        wanted = [self.service["spec"]["predictor"], *(c["predictor"] for c in self.service["spec"].get("canary", []))]
        if version not in [predictor["labels"][VERSION] for predictor in wanted]:
            return []
        if self.slow:
            self.slow -= 1
        reason = self.sick.get(version, "ContainerCreating" if self.slow else "")
        state = {"waiting": {"reason": reason}} if reason else {"running": {}}
        restarts = 3 if reason == "restarts" else 0
        ready = str(not reason or reason == "restarts")
        return [
            {
                "status": {
                    "conditions": [{"type": "Ready", "status": ready}],
                    "containerStatuses": [{"name": "transformer-container", "state": state, "restartCount": restarts}],
                }
            }
        ]

"""A fake Kubernetes API: TrainJobs, TrainingRuntimes, pods, logs, and refusals worded as the real ones.

What becomes of a created TrainJob is up to a controller: a function that is called with the API and the job.
"""

import threading
import time
from collections import Counter

from tests.loopback_server import HangUp, LoopbackServer, status

TRAINER = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/loopline"
PODS = "/api/v1/namespaces/loopline/pods"


class FakeKubernetes(LoopbackServer):
    """The state of one namespace, and a server in front of it.

    Attributes:
        objects: by "plural/name".
        pods: by name.
        logs: by name of the pod.
        calls: how often each "METHOD plural" was asked for.
        refusals: status and message that the next calls of a "METHOD plural" get instead of an answer.
        away: whether connections are closed without an answer.
        controller: called with this API and each TrainJob that is created.
    """

    def __init__(self, runtime):
        self.objects = {"trainingruntimes/loopline-torch": runtime} if runtime else {}
        self.pods, self.logs = {}, {}
        self.calls, self.refusals = Counter(), {}
        self.away = False
        self.controller = lambda api, job: None
        self._lock = threading.RLock()
        super().__init__()

    def jobs(self):
        return [item for key, item in self.objects.items() if key.startswith("trainjobs/")]

    def be_looked_at(self):
        """Return once somebody has seen the jobs as they are now: a third look means that a second was taken in."""
        before = self.calls["GET trainjobs"]
        while self.calls["GET trainjobs"] < before + 3:
            time.sleep(0.01)

    def set_condition(self, name, type_, reason="Because", message="of this"):
        """What a TrainJob's controller says of it; nothing if the job is gone."""
        with self._lock:
            if job := self.objects.get(f"trainjobs/{name}"):
                condition = {"type": type_, "status": "True", "reason": reason, "message": message}
                job.setdefault("status", {}).setdefault("conditions", []).append(condition)

    def set_ready(self, name, ready=1):
        with self._lock:
            nodes = {"name": "node", "active": 1, "ready": ready, "failed": 0, "succeeded": 0, "suspended": 0}
            self.objects[f"trainjobs/{name}"].setdefault("status", {})["jobsStatus"] = [nodes]

    def add_pod(self, job, index=0, phase="Running", log="", waiting=None, terminated=None):
        name = f"{job}-node-0-{index}"
        state = {"waiting": waiting} if waiting else {"terminated": terminated} if terminated else {}
        status = {
            "name": "node",
            "image": "some-image",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        self.pods[name] = {
            "metadata": {
                "name": name,
                "labels": {"jobset.sigs.k8s.io/jobset-name": job},
                "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
            },
            "spec": {"containers": [{"name": "node"}]},
            "status": {"phase": phase, "containerStatuses": [status]},
        }
        self.logs[name] = log

    def answer(self, request):
        if self.away:
            raise HangUp
        method, path, query = request.method, request.path, request.query
        with self._lock:
            place = path.removeprefix(TRAINER).removeprefix(PODS).strip("/")
            plural = "pods/log" if path.endswith("/log") else "pods" if path.startswith(PODS) else place.split("/")[0]
            self.calls[f"{method} {plural}"] += 1
            if waiting := self.refusals.get(f"{method} {plural}"):
                return waiting.pop(0)
            if plural == "pods":
                wanted = query["labelSelector"][0].partition("=")[2]
                found = [
                    p for p in self.pods.values() if p["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"] == wanted
                ]
                return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found}
            if plural == "pods/log":
                lines = self.logs[place.removesuffix("/log")].splitlines(keepends=True)
                return 200, "".join(lines[-int(query["tailLines"][0]) :])
            return self._custom(method, place, query, request.body)

    def _custom(self, method, place, query, body):
        if method == "POST":
            key = f"{place}/{body['metadata']['name']}"
            if key in self.objects:
                return 409, status(
                    409, f'{place} "{body["metadata"]["name"]}" already exists', body["metadata"]["name"]
                )
            self.objects[key] = body
            self.controller(self, body)
            return 201, body
        plural, _, name = place.partition("/")
        if place not in self.objects:
            return 404, status(404, f'{plural}.trainer.kubeflow.org "{name}" not found', name)
        if method == "DELETE":
            assert query["propagationPolicy"] == ["Foreground"]  # pods first: no two jobs write one checkpoint
            del self.objects[place]
            for pod in [pod for pod in self.pods if pod.startswith(name)]:
                del self.pods[pod]
            return 200, {"kind": "Status", "status": "Success"}
        return 200, self.objects[place]

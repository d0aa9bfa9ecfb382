"""A fake Kubernetes API: SparkApplications, and refusals worded as the real ones."""

from typing import TYPE_CHECKING, Any

from tests.loopback_server import LoopbackServer, Request, status

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "/apis/sparkoperator.k8s.io/v1beta2/namespaces/loopline/sparkapplications"


class FakeSparkOperator(LoopbackServer):
    """The SparkApplications of one namespace, and a server in front of them.

    Attributes:
        objects: by name.
        created: every one that was created, in order.
        refusals: method -> status and message of its next answers, each given once.
        operator: called with each look at an application that runs; changes it as an operator would.
    """

    def __init__(self, *templates: dict[str, Any]) -> None:
        self.objects = {template["metadata"]["name"]: template for template in templates}
        self.created: list[dict[str, Any]] = []
        self.refusals: dict[str, list[tuple[int, str]]] = {}
        self.operator: Callable[[dict[str, Any]], None] = lambda found: None
        super().__init__()

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        method = request.method
        if self.refusals.get(method):
            code, message = self.refusals[method].pop(0)
            return code, status(code, message)
        folder, _, name = request.path.partition(f"{FOLDER}")
        name = name.strip("/")
        if folder:
            return 404, {}
        if method == "POST":
            name = request.body["metadata"]["name"]
            if name in self.objects:
                return 409, status(409, "already exists")
            self.objects[name] = request.body
            self.created.append(self.objects[name])
            return 201, self.objects[name]
        if name not in self.objects:
            return 404, status(404, "not found", name)
        if method == "DELETE":
            return 200, self.objects.pop(name)
        found = self.objects[name]
        state = found.get("status", {}).get("applicationState", {}).get("state")
        if not found["spec"]["suspend"] and state not in {"COMPLETED", "FAILED"}:
            self.operator(found)
        return 200, found

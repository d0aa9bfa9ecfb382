"""A cluster as the target of a release: the InferenceService by server-side apply, the record in a ConfigMap beside it.

Both are written only over the resourceVersion that was read, so whoever comes second is refused. Fields that somebody
else applies, such as Argo CD, are theirs: the API refuses, and a release by Git is the way there.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from components.contract.errors import LooplineError
from components.contract.kubernetes_api import PATIENCE, Access, CustomObjects
from components.deployment import endpoint_file, pod_health, render
from components.deployment.record import Record
from components.deployment.render import VERSION, Standing
from components.deployment.target import CanaryFailedError, StaleActionError, expect_current, expect_next
from components.deployment.transitions import LEASE, Action

GROUP, API_VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
ROLE = "Role loopline-releases of manifests/serving"
ABSENT = "install KServe as manifests/upstream says"
ALONE = "target cluster needs a Kubernetes cluster, and this is no pod and has no kubeconfig; use target git or local"
MANAGER = "loopline-release"
# Less than the lease, which is not renewed while one waits here.
READY_SECONDS = 0.9 * LEASE.total_seconds()
POLL_SECONDS = 5.0
RESTARTS = 3
CONFLICT, NOT_FOUND = 409, 404


@dataclass(frozen=True)
class ClusterTarget:
    """An InferenceService.

    Attributes:
        access: to the API and its namespace.
        endpoint: name of the InferenceService.
        sleep: waits so many seconds. ``clock``: seconds from any moment.
    """

    access: Access
    endpoint: str
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def connect(cls, endpoint: str) -> "ClusterTarget":
        """The endpoint in the namespace of this pod, or of the kubeconfig.

        Raises:
            LooplineError: there is no cluster.
        """
        return cls(Access.connect(ROLE, ABSENT, ALONE), endpoint)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing to hold here: the API compares before it stores."""
        self._service()
        yield

    def standing(self) -> Standing:
        """Which versions are wanted."""
        return render.standing(self._service())

    def record(self) -> Record | None:
        """The release under way, or the last one."""
        stored = self._record_object()
        return self._parsed(stored) if stored else None

    def store(self, record: Record) -> None:
        """Store the next generation of the record."""
        stored = self._record_object()
        expect_next(record, self._parsed(stored) if stored else None)
        metadata = {"name": self._record_name, "labels": {"app.kubernetes.io/part-of": "loopline"}}
        if stored:
            metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"release.json": record.model_dump_json(indent=1)},
        }
        method, place = ("PUT", f"{self._config_maps}/{self._record_name}") if stored else ("POST", self._config_maps)
        if self._call(method, place, "configmaps", body, tolerated=CONFLICT) is None:
            raise LooplineError(f"the release of {self.endpoint} was changed by another process: read it again")

    def carry_out(self, action: Action, record: Record) -> None:
        """Apply the change, and wait until the pods that it is about are ready."""
        service = self._service()
        expect_current(action, self.endpoint, endpoint_file.generation_of(service))
        wanted = render.carried_out(service, action, record)
        render.check(wanted, gateway_api=self._gateway_api())
        patch = endpoint_file.patch_of(wanted, action.generation)
        patch["metadata"]["resourceVersion"] = service["metadata"]["resourceVersion"]
        self._apply(patch)
        self._wait_for_pods(record.stable if action.kind == "roll back" else record.canary, action)

    def failure(self, record: Record) -> str | None:
        """Why no pod of the canary is ready."""
        pods = self._pods(record.canary)
        if any(map(pod_health.is_ready, pods)):
            restarts = max(map(pod_health.restarts, pods))
            return f"a pod of it was restarted {restarts} times" if restarts >= RESTARTS else None
        return pod_health.trouble(pods) or "no pod of it is ready"

    def _service(self) -> dict[str, Any]:
        found = CustomObjects(self.access, GROUP, API_VERSION, PLURAL).find(self.endpoint)
        if found is None:
            raise LooplineError(
                f"namespace {self.access.namespace} has no InferenceService {self.endpoint}: apply an overlay first"
            )
        return found

    def _apply(self, patch: Mapping[str, Any]) -> None:
        """Server-side apply; what others own is not taken from them.

        Raises:
            StaleActionError: it was changed in between.
            LooplineError: others own a field of it.
        """
        place = f"/apis/{GROUP}/{API_VERSION}/namespaces/{self.access.namespace}/{PLURAL}/{self.endpoint}"
        try:
            self._call("PATCH", place, PLURAL, patch)
        except LooplineError as error:
            said = str(error)
            if "conflict" not in said.lower() and "modified" not in said:
                raise
            if "the object has been modified" in said:
                raise StaleActionError(f"InferenceService {self.endpoint} was changed in between: {said}") from error
            raise LooplineError(
                f"somebody else applies fields of InferenceService {self.endpoint} that a release changes ({said}): "
                "release with target git, where they take it from, or let them give up these fields"
            ) from error

    def _wait_for_pods(self, version: str, action: Action) -> None:
        """Wait for a ready pod of a version.

        Raises:
            CanaryFailedError: there is none in time, or never will be.
            LooplineError: the same of the stable version, at a rollback.
        """
        failed = LooplineError if action.kind == "roll back" else CanaryFailedError
        end = self.clock() + READY_SECONDS
        while not any(map(pod_health.is_ready, pods := self._pods(version))):
            trouble = pod_health.trouble(pods)
            if trouble or self.clock() > end:
                reason = trouble or f"none of its {len(pods)} pods was ready after {READY_SECONDS / 60:.0f} minutes"
                raise failed(f"version {version} of {self.endpoint} does not become ready: {reason}")
            self.sleep(POLL_SECONDS)

    def _pods(self, version: str) -> list[dict[str, Any]]:
        selector = f"serving.kserve.io/inferenceservice={self.endpoint},{VERSION}={version}"
        place = f"/api/v1/namespaces/{self.access.namespace}/pods"
        listed = self._call("GET", place, "pods", query=[("labelSelector", selector)]) or {}
        return list(listed.get("items", []))

    def _gateway_api(self) -> bool:
        """Whether KServe makes routes of the Gateway API; assumed where its settings may not be read."""
        try:
            found = self._call("GET", "/api/v1/namespaces/kserve/configmaps/inferenceservice-config", "configmaps")
            return bool(json.loads((found or {})["data"]["ingress"]).get("enableGatewayApi", False))
        except (LooplineError, KeyError, ValueError):
            return True

    @property
    def _record_name(self) -> str:
        return f"release-{self.endpoint}"

    @property
    def _config_maps(self) -> str:
        return f"/api/v1/namespaces/{self.access.namespace}/configmaps"

    def _record_object(self) -> dict[str, Any] | None:
        return self._call("GET", f"{self._config_maps}/{self._record_name}", "configmaps", tolerated=NOT_FOUND)

    def _parsed(self, stored: Mapping[str, Any]) -> Record:
        try:
            return Record.model_validate_json(stored["data"]["release.json"])
        except (KeyError, ValueError) as error:
            raise LooplineError(
                f"ConfigMap {self._record_name} in namespace {self.access.namespace} is no record of a release: give "
                "all traffic to the stable and delete it"
            ) from error

    def _call(
        self,
        method: str,
        place: str,
        what: str,
        body: Mapping[str, Any] | None = None,
        query: list[tuple[str, str]] | None = None,
        tolerated: int | None = None,
    ) -> dict[str, Any] | None:
        """What the API answers; None for the status that is tolerated."""
        from kubernetes.client import ApiException  # noqa: PLC0415 - takes a second to import

        patching = method == "PATCH"
        with self.access.explained({"GET": "get", "PATCH": "apply"}.get(method, "write"), what):
            try:
                answer: dict[str, Any] = self.access.client.call_api(
                    place,
                    method,
                    query_params=[("fieldManager", MANAGER)] if patching else query or [],
                    header_params={
                        "Accept": "application/json",
                        "Content-Type": "application/apply-patch+yaml" if patching else "application/json",
                    },
                    body=body,
                    response_type="object",
                    auth_settings=["BearerToken"],
                    _return_http_data_only=True,
                    _request_timeout=PATIENCE,
                )
            except ApiException as error:
                if error.status == tolerated:
                    return None
                raise
        return answer

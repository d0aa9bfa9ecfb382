"""A cluster as the target of a release: the InferenceService by server-side apply, the record in a ConfigMap.

Both are written only at the resourceVersion that was read, so the second of two writers gets a conflict. Fields that
another manager owns, such as Argo CD, are not taken over; target git is for such clusters.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loopline.components.contract.model import Model
from loopline.components.deployment.kserve import endpoint_file, inference_service, model_store, pod_health, render
from loopline.components.deployment.release.record import Record, expect_next
from loopline.components.deployment.release.target import (
    CanaryFailedError,
    StaleActionError,
    expect_current,
)
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import LEASE, Action
from loopline.components.deployment.targets.cluster_api import RECORD, ChangedError, ClusterApi
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import KubernetesApi

ROLE = "Role loopline-releases-<use case> of manifests/usecases"
INSTALL = "install KServe as manifests/upstream says"
WITHOUT_CLUSTER = (
    "target cluster needs a Kubernetes cluster, and there is no kubeconfig, nor is this a pod; use target git or local"
)
# Less than the lease, which is not renewed during this wait.
READY_SECONDS = 0.9 * LEASE.total_seconds()
POLL_SECONDS = 5.0
RESTARTS = 3
ATTEMPTS = 5


@dataclass(frozen=True)
class ClusterTarget:
    """An InferenceService.

    Attributes:
        access: the API server and the namespace.
        endpoint: name of the InferenceService.
        sleep: waits for so many seconds.
        clock: returns seconds, monotonic.
    """

    access: KubernetesApi
    endpoint: str
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def connect(cls, endpoint: str) -> "ClusterTarget":
        """The endpoint in the namespace of this pod, or of the kubeconfig.

        Raises:
            LooplineError: there is no cluster.
        """
        return cls(KubernetesApi.connect(ROLE, INSTALL, WITHOUT_CLUSTER), endpoint)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No lock is needed: the API refuses a write at an old resourceVersion."""
        self.service()
        yield

    def service(self) -> dict[str, Any]:
        """The InferenceService."""
        return self._api.service()

    def traffic_split(self) -> TrafficSplit:
        """The desired versions, and the canary's share."""
        return inference_service.traffic_split(self.service())

    def rendered(self, action: Action, record: Record) -> dict[str, Any]:
        """The InferenceService after an action; refused if KServe would refuse or ignore it."""
        return self._rendered(self.service(), action, record)

    def upload_model(self, version: str, model: Model) -> None:
        """Upload the package to where the pods of that version fetch it from, unless it is there already."""
        model_store.upload_model(model, render.storage_uri_of(self.service(), version))

    def record(self) -> Record | None:
        """The current or last release."""
        stored = self._api.stored()
        return self._parsed(stored) if stored else None

    def store(self, record: Record) -> None:
        """Store the next generation of the record."""
        stored = self._api.stored()
        expect_next(record, self._parsed(stored) if stored else None)
        self._api.store(record.model_dump_json(indent=1), stored)

    def apply(self, action: Action, record: Record) -> None:
        """Apply the change, and wait for a ready pod of the version that gets the traffic.

        KServe and others write to the same object; on a conflict with them the change is rendered again.
        """
        for attempt in range(1, ATTEMPTS + 1):
            service = self.service()
            expect_current(action, self.endpoint, endpoint_file.generation_of(service))
            patch = endpoint_file.patch_of(self._rendered(service, action, record), action.generation)
            patch["metadata"]["resourceVersion"] = service["metadata"]["resourceVersion"]
            try:
                self._api.apply(patch)
                break
            except ChangedError as error:
                if attempt == ATTEMPTS:
                    raise StaleActionError(str(error)) from error
        self._wait_for_pods(record.stable if action.kind == "roll back" else record.canary, action)

    def failure(self, record: Record) -> str | None:
        """Why the canary has no ready pod, or restarts too often; None if neither is so."""
        pods = self._api.pods(record.canary)
        if any(map(pod_health.is_ready, pods)):
            restarts = max(map(pod_health.restarts, pods))
            return f"a pod of it was restarted {restarts} times" if restarts >= RESTARTS else None
        return pod_health.trouble(pods) or "no pod of it is ready"

    def _rendered(self, service: Mapping[str, Any], action: Action, record: Record) -> dict[str, Any]:
        wanted = render.apply_action(service, action, record)
        inference_service.check(wanted, gateway_api=self._api.gateway_api())
        return wanted

    def _wait_for_pods(self, version: str, action: Action) -> None:
        """Wait for a ready pod of a version.

        Raises:
            CanaryFailedError: there is none in time, or never will be.
            LooplineError: the same, for the stable version in a rollback.
        """
        failed = LooplineError if action.kind == "roll back" else CanaryFailedError
        end = self.clock() + READY_SECONDS
        while not any(map(pod_health.is_ready, pods := self._api.pods(version))):
            trouble = pod_health.trouble(pods)
            if trouble or self.clock() > end:
                reason = trouble or f"none of its {len(pods)} pods was ready after {READY_SECONDS / 60:.0f} minutes"
                raise failed(f"version {version} of {self.endpoint} does not become ready: {reason}")
            self.sleep(POLL_SECONDS)

    @property
    def _api(self) -> ClusterApi:
        return ClusterApi(self.access, self.endpoint)

    def _parsed(self, stored: Mapping[str, Any]) -> Record:
        try:
            return Record.model_validate_json(stored["data"][RECORD])
        except (KeyError, ValueError) as error:
            raise LooplineError(
                f"ConfigMap {self._api.record_name} in namespace {self.access.namespace} is no record of a release: "
                "give all traffic to the stable version and delete it"
            ) from error

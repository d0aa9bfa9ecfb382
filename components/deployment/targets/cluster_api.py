"""The Kubernetes objects of one endpoint: InferenceService, pods, and the ConfigMap that records its release."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopline.components.deployment.kserve.inference_service import VERSION
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import CONFIG_MAPS, PODS, KubernetesApi, Resource
from loopline.components.io.kubernetes_errors import ConflictError, FieldConflictError

INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices")
FIELD_MANAGER = "loopline-release"
RECORD = "release.json"  # the key in the ConfigMap


class ChangedError(LooplineError):
    """An object was changed after it was read."""


@dataclass(frozen=True)
class ClusterApi:
    """The objects of one endpoint.

    Attributes:
        api: the API server, and the namespace of the endpoint.
        endpoint: name of the InferenceService.
    """

    api: KubernetesApi
    endpoint: str

    def service(self) -> dict[str, Any]:
        """The InferenceService.

        Raises:
            LooplineError: there is none.
        """
        found = self.api.get(INFERENCE_SERVICES, self.endpoint)
        if found is None:
            raise LooplineError(
                f"namespace {self.api.namespace} has no InferenceService {self.endpoint}: apply an overlay first"
            )
        return found

    def apply(self, patch: Mapping[str, Any]) -> None:
        """Server-side apply of fields of the InferenceService, at the resourceVersion that the patch names.

        Raises:
            ChangedError: it was modified since.
            LooplineError: another field manager owns a field; it is not taken over.
        """
        try:
            self.api.apply(INFERENCE_SERVICES, patch, FIELD_MANAGER)
        except FieldConflictError as error:
            raise LooplineError(
                f"another field manager owns fields of InferenceService {self.endpoint} that a release changes "
                f"({error}): release with target git, where it takes them from, or let it give up these fields"
            ) from error
        except ConflictError as error:
            raise ChangedError(f"InferenceService {self.endpoint} was changed in between: {error}") from error

    def pods(self, version: str) -> list[dict[str, Any]]:
        """The pods of a version."""
        return self.api.list_objects(PODS, f"serving.kserve.io/inferenceservice={self.endpoint},{VERSION}={version}")

    def gateway_api(self) -> bool:
        """Whether KServe makes routes of the Gateway API; True where its settings may not be read."""
        try:
            found = self.api.get(CONFIG_MAPS, "inferenceservice-config", namespace="kserve")
            return bool(json.loads((found or {})["data"]["ingress"]).get("enableGatewayApi", False))
        except (LooplineError, KeyError, ValueError):
            return True

    def stored(self) -> dict[str, Any] | None:
        """The ConfigMap of the record; None before the first release."""
        return self.api.get(CONFIG_MAPS, self.record_name)

    def store(self, text: str, over: Mapping[str, Any] | None) -> None:
        """Store the record, at the resourceVersion of the ConfigMap that was read.

        Args:
            text: of the record.
            over: the ConfigMap that was read; None for the first record.

        Raises:
            ChangedError: it was changed since; nothing was stored.
        """
        metadata = {"name": self.record_name, "labels": {"app.kubernetes.io/part-of": "loopline"}}
        if over:
            metadata["resourceVersion"] = over["metadata"]["resourceVersion"]
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {RECORD: text}}
        write = self.api.replace if over else self.api.create
        try:
            write(CONFIG_MAPS, body)
        except ConflictError as error:
            raise ChangedError(
                f"the release of {self.endpoint} was changed by another process: read it again"
            ) from error

    @property
    def record_name(self) -> str:
        """Name of the record's ConfigMap."""
        return f"release-{self.endpoint}"

"""The Kubernetes API as a release uses it: one InferenceService, the ConfigMap of its record, and its pods."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopline.components.deployment.inference_service import VERSION
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import PATIENCE, Access, CustomObjects

GROUP, API_VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
MANAGER = "loopline-release"
CONFLICT, NOT_FOUND = 409, 404
RECORD = "release.json"  # the key in the ConfigMap


class ChangedError(LooplineError):
    """Somebody changed an object after it was read."""


@dataclass(frozen=True)
class ClusterApi:
    """What concerns one endpoint.

    Attributes:
        access: to the API and its namespace.
        endpoint: name of the InferenceService.
    """

    access: Access
    endpoint: str

    def service(self) -> dict[str, Any]:
        """The InferenceService.

        Raises:
            LooplineError: there is none.
        """
        found = CustomObjects(self.access, GROUP, API_VERSION, PLURAL).find(self.endpoint)
        if found is None:
            raise LooplineError(
                f"namespace {self.access.namespace} has no InferenceService {self.endpoint}: apply an overlay first"
            )
        return found

    def apply(self, patch: Mapping[str, Any]) -> None:
        """Server-side apply over the resourceVersion of the patch; what others own is not taken from them.

        Raises:
            ChangedError: it was changed after that.
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
                raise ChangedError(f"InferenceService {self.endpoint} was changed in between: {said}") from error
            raise LooplineError(
                f"somebody else applies fields of InferenceService {self.endpoint} that a release changes ({said}): "
                "release with target git, where they take it from, or let them give up these fields"
            ) from error

    def pods(self, version: str) -> list[dict[str, Any]]:
        """The pods of a version."""
        selector = f"serving.kserve.io/inferenceservice={self.endpoint},{VERSION}={version}"
        place = f"/api/v1/namespaces/{self.access.namespace}/pods"
        listed = self._call("GET", place, "pods", query=[("labelSelector", selector)]) or {}
        return list(listed.get("items", []))

    def gateway_api(self) -> bool:
        """Whether KServe makes routes of the Gateway API; assumed where its settings may not be read."""
        try:
            found = self._call("GET", "/api/v1/namespaces/kserve/configmaps/inferenceservice-config", "configmaps")
            return bool(json.loads((found or {})["data"]["ingress"]).get("enableGatewayApi", False))
        except (LooplineError, KeyError, ValueError):
            return True

    def stored(self) -> dict[str, Any] | None:
        """The ConfigMap of the record; None before the first release."""
        return self._call("GET", f"{self._config_maps}/{self.record_name}", "configmaps", tolerated=NOT_FOUND)

    def store(self, text: str, over: Mapping[str, Any] | None) -> None:
        """Store the record over what was read.

        Args:
            text: of the record.
            over: the ConfigMap that was read; None for the first.

        Raises:
            ChangedError: it was changed in between; nothing was stored.
        """
        metadata = {"name": self.record_name, "labels": {"app.kubernetes.io/part-of": "loopline"}}
        if over:
            metadata["resourceVersion"] = over["metadata"]["resourceVersion"]
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {RECORD: text}}
        method, place = ("PUT", f"{self._config_maps}/{self.record_name}") if over else ("POST", self._config_maps)
        if self._call(method, place, "configmaps", body, tolerated=CONFLICT) is None:
            raise ChangedError(f"the release of {self.endpoint} was changed by another process: read it again")

    @property
    def record_name(self) -> str:
        """Name of the record's ConfigMap."""
        return f"release-{self.endpoint}"

    @property
    def _config_maps(self) -> str:
        return f"/api/v1/namespaces/{self.access.namespace}/configmaps"

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

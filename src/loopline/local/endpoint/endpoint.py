"""The endpoint of a use case in a workspace, with the models of the workspace's registry."""

from loopline.components.contract.model import Model
from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets.local_endpoint import LocalEndpoint
from loopline.components.deployment.targets.state_dir import StateDir
from loopline.local.endpoint import service
from loopline.local.endpoint.envoy.admin import Admin
from loopline.local.workspace import Workspace


class Endpoint(LocalEndpoint):
    """An endpoint on this machine, which fetches the versions that it does not have from the registry.

    Args:
        workspace: has the state and the registry.
        case: the use case.
    """

    def __init__(self, workspace: Workspace, case: UseCase) -> None:
        super().__init__(StateDir(workspace.serving(case.spec.name)), case.spec.name)
        self.workspace = workspace
        self.case = case

    def prepare(self, version: int) -> None:
        """Choose the version that the endpoint serves once it is started.

        Raises:
            LooplineError: there is no such version, or its files are damaged.
        """
        self.state_dir.write_desired(service.inference_service(self.name, str(version), self._storage_uri(version)))

    def counters(self) -> dict[str, dict[str, int]]:
        """Envoy's counters of each version: all, failed and active requests.

        Raises:
            LooplineError: the endpoint does not run, or Envoy does not answer.
        """
        return Admin(self._running().admin).counters()

    def _package(self, version: int) -> Model:
        path = self.state_dir.model(version)
        if not path.is_dir():
            from loopline.components.registry.fetch import fetch_model

            fetch_model(self.case.package, self.workspace.registry, str(version), path)
        return super()._package(version)

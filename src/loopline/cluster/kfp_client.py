"""The API of a Kubeflow Pipelines server: its generated client, with timeouts, and errors that say what to do.

``kfp.Client`` wraps the same client, but has no timeouts, reads a context that other commands leave in the home folder,
and takes a second and a half to import.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import kfp_server_api as kfp
import urllib3
from urllib3.exceptions import HTTPError

from loopline.cluster import kfp_errors, token
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError

# Seconds to connect, and to read.
TIMEOUT = (5.0, 30.0)
PAGE = 100


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline on the server.

    Attributes:
        id: the ID on the server. ``name``: of the PipelineVersion object.
        parameters: names of its parameters; True for those that are required.
        images: of its steps.
    """

    pipeline_id: str
    id: str
    name: str
    parameters: dict[str, bool]
    images: tuple[str, ...]


class KfpClient:
    """A client of a KFP server, for one namespace.

    Args:
        cluster: the settings.
        timeout: seconds to connect, and to read.
    """

    def __init__(self, cluster: Cluster, timeout: tuple[float, float] = TIMEOUT) -> None:
        self._cluster = cluster
        self._timeout = timeout
        configuration = kfp.Configuration(host=cluster.kfp.endpoint.rstrip("/"))
        configuration.retries = urllib3.Retry(total=2, connect=2, read=0, backoff_factor=0.5)
        if cluster.kfp.authority:
            if not cluster.kfp.authority.is_file():
                raise LooplineError(
                    f"kfp.authority {cluster.kfp.authority} in the settings of the cluster is not a file"
                )
            configuration.ssl_ca_cert = str(cluster.kfp.authority)
        configuration.api_key_prefix["authorization"] = "Bearer"
        self._configuration = configuration
        client = kfp.ApiClient(configuration)
        self._health = kfp.HealthzServiceApi(client)
        self._experiments = kfp.ExperimentServiceApi(client)
        self._pipelines = kfp.PipelineServiceApi(client)
        self._runs = kfp.RunServiceApi(client)

    def check(self) -> None:
        """Check that the server answers, and permits this account to list runs of the namespace.

        Raises:
            LooplineError: it does not.
        """
        self._call(self._health.healthz_service_get_healthz)
        self._call(self._runs.run_service_list_runs, namespace=self._cluster.namespace, page_size=1)

    def version(self, pipeline: str, name: str | None = None) -> PipelineVersion:
        """Find a version of a pipeline.

        Args:
            pipeline: name of the Pipeline object.
            name: of the PipelineVersion; None for the newest.

        Raises:
            LooplineError: there is no such pipeline or version in the namespace.
        """
        namespace = self._cluster.namespace
        try:
            found = self._call(
                self._pipelines.pipeline_service_get_pipeline_by_name, pipeline, namespace=namespace, expected=404
            )
        except _ExpectedStatusError as error:
            raise LooplineError(
                f"KFP has no pipeline '{pipeline}' in namespace {namespace}; apply an overlay that lists the use case, "
                "or correct namespace in the settings of the cluster"
            ) from error
        newest_first = list(
            self._list_all(
                self._pipelines.pipeline_service_list_pipeline_versions,
                "pipeline_versions",
                found.pipeline_id,
                sort_by="created_at desc",
            )
        )
        for version in newest_first:
            if name in {None, version.name, version.display_name}:
                return _version(version)
        known = ", ".join(version.name or version.display_name for version in newest_first[:5]) or "none"
        raise LooplineError(
            f"KFP has no version '{name}' of pipeline {pipeline} in namespace {namespace} (newest first: {known}); "
            "apply the overlay that it is in"
        )

    def find_experiment(self) -> str | None:
        """ID of the experiment of the settings; None if there is none."""
        found = self._call(
            self._experiments.experiment_service_list_experiments,
            namespace=self._cluster.namespace,
            filter=_named(self._cluster.experiment),
        )
        return str(found.experiments[0].experiment_id) if found.experiments else None

    def create_experiment(self) -> str:
        """Create the experiment of the settings, and return its ID."""
        experiment = kfp.V2beta1Experiment(display_name=self._cluster.experiment, namespace=self._cluster.namespace)
        return str(self._call(self._experiments.experiment_service_create_experiment, experiment).experiment_id)

    def find_run(self, experiment: str, name: str) -> kfp.V2beta1Run | None:
        """The oldest run of that name in an experiment; None if there is none."""
        found = self._call(
            self._runs.run_service_list_runs,
            experiment_id=experiment,
            filter=_named(name),
            sort_by="created_at asc",
            page_size=1,
        )
        return found.runs[0] if found.runs else None

    def create_run(
        self, experiment: str, name: str, version: PipelineVersion, parameters: dict[str, Any]
    ) -> kfp.V2beta1Run:
        """Create a run."""
        reference = kfp.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id, pipeline_version_id=version.id)
        run = kfp.V2beta1Run(
            experiment_id=experiment,
            display_name=name,
            pipeline_version_reference=reference,
            runtime_config=kfp.V2beta1RuntimeConfig(parameters=parameters),
            service_account=self._cluster.service_account,
        )
        return self._call(self._runs.run_service_create_run, run)

    def run(self, identity: str) -> kfp.V2beta1Run:
        """A run with its tasks.

        Raises:
            LooplineError: there is no run with that ID.
        """
        try:
            return self._call(self._runs.run_service_get_run, identity, expected=404)
        except _ExpectedStatusError as error:
            raise LooplineError(f"KFP at {self._cluster.kfp.endpoint} has no run '{identity}'") from error

    def _list_all(self, method: Callable[..., Any], field: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        page = ""
        while True:
            response = self._call(method, *arguments, page_token=page, page_size=PAGE, **options)
            yield from getattr(response, field) or []
            page = response.next_page_token or ""
            if not page:
                return

    def _call(self, method: Callable[..., Any], *arguments: Any, expected: int | None = None, **options: Any) -> Any:
        """Call a method of the generated client.

        Raises:
            _ExpectedStatusError: the server answered with the status ``expected``.
            LooplineError: any other error.
        """
        key = token.read(self._cluster.kfp)
        self._configuration.api_key = {"authorization": key} if key else {}
        try:
            return method(*arguments, **options, _request_timeout=self._timeout)
        except kfp.ApiException as error:
            if error.status == expected:
                raise _ExpectedStatusError from error
            raise kfp_errors.from_response(error, self._cluster) from error
        except (HTTPError, OSError, ValueError) as error:
            raise kfp_errors.unreachable(error, self._cluster) from error


class _ExpectedStatusError(Exception):
    """The server answered with the status that the caller handles."""


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _version(version: kfp.V2beta1PipelineVersion) -> PipelineVersion:
    document = version.pipeline_spec or {}
    spec = document.get("pipeline_spec", document)  # beside the platform configuration, if there is one
    definitions = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {}).values()
    return PipelineVersion(
        pipeline_id=version.pipeline_id,
        id=version.pipeline_version_id,
        name=version.name or version.display_name,
        parameters={name: not definition.get("isOptional", False) for name, definition in definitions.items()},
        images=tuple(sorted({executor["container"]["image"] for executor in executors})),
    )

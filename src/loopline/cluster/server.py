"""A Kubeflow Pipelines server, asked through its generated client with bounded time; what goes wrong is told in words.

``kfp.Client`` wraps the same client, but waits without end for a server that does not answer, reads a context left by
other commands in the home folder, and takes a second and a half to import.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import kfp_server_api as kfp
import urllib3
from urllib3.exceptions import HTTPError

from loopline.cluster import token
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError

# Seconds to connect and to wait for an answer.
TIMEOUT = (5.0, 30.0)
PAGE = 100


@dataclass(frozen=True)
class Version:
    """A version of a pipeline that the server holds.

    Attributes:
        name: of the PipelineVersion. ``id``: what the server calls it.
        parameters: names of the parameters that it takes; True for those that have to be given.
        images: of its steps.
    """

    pipeline_id: str
    id: str
    name: str
    parameters: dict[str, bool]
    images: tuple[str, ...]


class Server:
    """A KFP server as one namespace sees it.

    Args:
        cluster: where it is, and who asks.
        timeout: seconds to connect and to wait for an answer.
    """

    def __init__(self, cluster: Cluster, timeout: tuple[float, float] = TIMEOUT) -> None:
        self._cluster = cluster
        self._timeout = timeout
        configuration = kfp.Configuration(host=cluster.kfp.endpoint.rstrip("/"))
        configuration.retries = urllib3.Retry(total=2, connect=2, read=0, backoff_factor=0.5)
        if cluster.kfp.authority:
            if not cluster.kfp.authority.is_file():
                raise LooplineError(f"kfp.authority {cluster.kfp.authority} in the settings of the cluster is no file")
            configuration.ssl_ca_cert = str(cluster.kfp.authority)
        configuration.api_key_prefix["authorization"] = "Bearer"
        self._configuration = configuration
        client = kfp.ApiClient(configuration)
        self._health = kfp.HealthzServiceApi(client)
        self._experiments = kfp.ExperimentServiceApi(client)
        self._pipelines = kfp.PipelineServiceApi(client)
        self._runs = kfp.RunServiceApi(client)

    def check(self) -> None:
        """See that the server answers, and lets us look at runs of the namespace.

        Raises:
            LooplineError: it does not, or does not let us.
        """
        self._ask(self._health.healthz_service_get_healthz)
        self._ask(self._runs.run_service_list_runs, namespace=self._cluster.namespace, page_size=1)

    def version(self, pipeline: str, name: str | None = None) -> Version:
        """Find a version of a pipeline.

        Args:
            pipeline: name of the Pipeline object.
            name: of the PipelineVersion; None for the newest.

        Raises:
            LooplineError: there is no such pipeline or version in the namespace.
        """
        namespace = self._cluster.namespace
        try:
            found = self._ask(
                self._pipelines.pipeline_service_get_pipeline_by_name, pipeline, namespace=namespace, unless=404
            )
        except _AnsweredError as error:
            raise LooplineError(
                f"KFP has no pipeline '{pipeline}' in namespace {namespace}; apply an overlay that lists the use case, "
                "or correct namespace in the settings of the cluster"
            ) from error
        newest_first = list(
            self._pages(
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
        """Id of the experiment that the settings name, if it is there."""
        found = self._ask(
            self._experiments.experiment_service_list_experiments,
            namespace=self._cluster.namespace,
            filter=_named(self._cluster.experiment),
        )
        return str(found.experiments[0].experiment_id) if found.experiments else None

    def create_experiment(self) -> str:
        """Make the experiment that the settings name, and return its id."""
        wanted = kfp.V2beta1Experiment(display_name=self._cluster.experiment, namespace=self._cluster.namespace)
        return str(self._ask(self._experiments.experiment_service_create_experiment, wanted).experiment_id)

    def find_run(self, experiment: str, name: str) -> kfp.V2beta1Run | None:
        """The run of that name in an experiment, the oldest if there are several."""
        found = self._ask(
            self._runs.run_service_list_runs,
            experiment_id=experiment,
            filter=_named(name),
            sort_by="created_at asc",
            page_size=1,
        )
        return found.runs[0] if found.runs else None

    def create_run(self, experiment: str, name: str, version: Version, parameters: dict[str, Any]) -> kfp.V2beta1Run:
        """Start a run and return it as the server made it."""
        reference = kfp.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id, pipeline_version_id=version.id)
        wanted = kfp.V2beta1Run(
            experiment_id=experiment,
            display_name=name,
            pipeline_version_reference=reference,
            runtime_config=kfp.V2beta1RuntimeConfig(parameters=parameters),
            service_account=self._cluster.service_account,
        )
        return self._ask(self._runs.run_service_create_run, wanted)

    def run(self, identity: str) -> kfp.V2beta1Run:
        """A run with its tasks.

        Raises:
            LooplineError: there is none of that id.
        """
        try:
            return self._ask(self._runs.run_service_get_run, identity, unless=404)
        except _AnsweredError as error:
            raise LooplineError(f"KFP at {self._cluster.kfp.endpoint} has no run '{identity}'") from error

    def _pages(self, method: Callable[..., Any], field: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        page = ""
        while True:
            answer = self._ask(method, *arguments, page_token=page, page_size=PAGE, **options)
            yield from getattr(answer, field) or []
            page = answer.next_page_token or ""
            if not page:
                return

    def _ask(self, method: Callable[..., Any], *arguments: Any, unless: int | None = None, **options: Any) -> Any:
        """Call a method of the generated client.

        Raises:
            _AnsweredError: the server answered with the status ``unless``.
            LooplineError: anything else went wrong.
        """
        key = token.read(self._cluster.kfp)
        self._configuration.api_key = {"authorization": key} if key else {}
        try:
            return method(*arguments, **options, _request_timeout=self._timeout)
        except kfp.ApiException as error:
            if error.status == unless:
                raise _AnsweredError from error
            kind = UnavailableError if error.status is None or error.status >= 500 else LooplineError
            raise kind(self._explain(error)) from error
        except (HTTPError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(
                f"KFP at {self._cluster.kfp.endpoint} cannot be reached ({_short(reason)}); correct kfp.endpoint in "
                "the settings of the cluster, or open a way, for example with `kubectl -n kubeflow port-forward "
                "svc/ml-pipeline 8888`"
            ) from error

    def _explain(self, error: kfp.ApiException) -> str:
        where, namespace = f"KFP at {self._cluster.kfp.endpoint}", self._cluster.namespace
        said = _message(error)
        if error.status == 401:
            given = token.origin(self._cluster.kfp)
            whose = f"the token from {given}" if given else "a request without a token"
            return f"{where} did not accept {whose}: expired, or made for another audience; {token.RENEW}"
        if error.status == 403:
            return (
                f"{where} does not let this account use namespace {namespace} ({said}); correct namespace in the "
                "settings of the cluster, or give the account the role loopline-submit there"
            )
        if error.status == 404:
            return f"{where} knows no such thing ({said}); is that address the API of a KFP 2 server?"
        if error.status and error.status >= 500:
            return f"{where} failed with {error.status} ({said}); see `kubectl -n kubeflow logs deploy/ml-pipeline`"
        return f"{where} refused the request with {error.status}: {said}"


class UnavailableError(LooplineError):
    """The server is away or in trouble; a little later it may answer."""


class _AnsweredError(Exception):
    """The server answered with a status that the caller asked to be told of."""


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _version(version: kfp.V2beta1PipelineVersion) -> Version:
    document = version.pipeline_spec or {}
    spec = document.get("pipeline_spec", document)  # with platform configuration it is one of two
    definitions = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {}).values()
    return Version(
        pipeline_id=version.pipeline_id,
        id=version.pipeline_version_id,
        name=version.name or version.display_name,
        parameters={name: not definition.get("isOptional", False) for name, definition in definitions.items()},
        images=tuple(sorted({executor["container"]["image"] for executor in executors})),
    )


def _message(error: kfp.ApiException) -> str:
    """What the server said, without the trail of its functions."""
    try:
        answer = json.loads(error.body or "")
        text = answer.get("message") or answer.get("error_message") or answer.get("error") or ""
    except (ValueError, AttributeError):
        text = str(error.body or "")
    return _short(text or error.reason or "no reason given")


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= 200 else f"{text[:200]}…"

"""A small Kubeflow Pipelines server for tests: the part of its v2beta1 REST interface that we use, over real HTTP.

Answers are made of the models of the generated client, so a field that does not exist cannot be answered.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import kfp_server_api as kfp

from tests.loopback_server import LoopbackServer, Request

_TO_JSON = kfp.ApiClient().sanitize_for_serialization


@dataclass
class FakeKfp:
    """What the server holds and how it behaves.

    Attributes:
        token: the only one that is accepted; empty for a server without accounts.
        namespaces: those that the account may use.
        failures: statuses of the next answers, before it answers properly again.
        delay: seconds before each answer.
        states: states of a run at its next looks.
    """

    token: str = ""
    namespaces: tuple[str, ...] = ("loopline",)
    failures: list[int] = field(default_factory=list)
    delay: float = 0.0
    pipelines: dict[str, kfp.V2beta1Pipeline] = field(default_factory=dict)
    versions: list[kfp.V2beta1PipelineVersion] = field(default_factory=list)
    experiments: list[kfp.V2beta1Experiment] = field(default_factory=list)
    runs: list[kfp.V2beta1Run] = field(default_factory=list)
    states: list[tuple[str, kfp.V2beta1RunDetails | None]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def hold(self, version: dict) -> None:
        """Hold a PipelineVersion object, and the pipeline that it is of, as a server in Kubernetes mode does."""
        name = version["spec"]["pipelineName"]
        self.pipelines.setdefault(
            name, kfp.V2beta1Pipeline(pipeline_id=str(uuid.uuid4()), name=name, display_name=name)
        )
        self.versions.append(
            kfp.V2beta1PipelineVersion(
                pipeline_id=self.pipelines[name].pipeline_id,
                pipeline_version_id=str(uuid.uuid4()),
                name=version["metadata"]["name"],
                display_name=version["metadata"]["name"],
                created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self.versions)),
                pipeline_spec={
                    "pipeline_spec": version["spec"]["pipelineSpec"],
                    "platform_spec": version["spec"]["platformSpec"],
                },
            )
        )

    def answer(self, method: str, path: str, query: dict[str, str], body: dict) -> tuple[int, object]:
        """The status and the content of the answer to an authenticated request."""
        if "namespace" in query and query["namespace"] not in self.namespaces:
            return 403, {"message": f"User is not authorized with reason: namespace {query['namespace']}", "code": 7}
        parts = path.removeprefix("/apis/v2beta1/").split("/")
        match method, parts:
            case "GET", ["healthz"]:
                return 200, kfp.V2beta1GetHealthzResponse(multi_user=bool(self.token))
            case "GET", ["pipelines", "names", name]:
                return self._found(self.pipelines.get(name))
            case "GET", ["pipelines", identity, "versions"]:
                return self._versions(identity, query)
            case "GET", ["experiments"]:
                found = [e for e in self.experiments if e.display_name == _wanted(query)]
                return 200, kfp.V2beta1ListExperimentsResponse(experiments=found)
            case "POST", ["experiments"]:
                return self._new_experiment(body)
            case "GET", ["runs"]:
                found = [r for r in self.runs if _wanted(query) in {None, r.display_name}]
                return 200, kfp.V2beta1ListRunsResponse(runs=found[: int(query.get("page_size", 10))])
            case "POST", ["runs"]:
                return self._new_run(body)
            case "GET", ["runs", identity]:
                return self._look_at(identity)
        return 404, {"message": f"no such path {path}"}

    def _versions(self, identity: str, query: dict[str, str]) -> tuple[int, object]:
        found = [v for v in self.versions if v.pipeline_id == identity]
        if query.get("sort_by") == "created_at desc":
            found.reverse()
        start, size = int(query.get("page_token") or 0), 2  # pages smaller than asked for, as a server may
        more = str(start + size) if start + size < len(found) else ""
        page = found[start : start + size]
        return 200, kfp.V2beta1ListPipelineVersionsResponse(pipeline_versions=page, next_page_token=more)

    def _new_experiment(self, body: dict) -> tuple[int, object]:
        if body["namespace"] not in self.namespaces:
            return 403, {"message": f"User is not authorized in namespace {body['namespace']}"}
        made = kfp.V2beta1Experiment(experiment_id=str(uuid.uuid4()), display_name=body["display_name"])
        self.experiments.append(made)
        return 200, made

    def _new_run(self, body: dict) -> tuple[int, object]:
        reference = kfp.V2beta1PipelineVersionReference(**body["pipeline_version_reference"])
        if reference.pipeline_version_id not in {v.pipeline_version_id for v in self.versions}:
            return 400, {"message": "Failed to create a run: no such pipeline version"}
        made = kfp.V2beta1Run(
            run_id=str(uuid.uuid4()),
            experiment_id=body["experiment_id"],
            display_name=body["display_name"],
            pipeline_version_reference=reference,
            runtime_config=kfp.V2beta1RuntimeConfig(parameters=body["runtime_config"]["parameters"]),
            service_account=body["service_account"],
            state="PENDING",
        )
        self.runs.append(made)
        return 200, made

    def _look_at(self, identity: str) -> tuple[int, object]:
        run = next((r for r in self.runs if r.run_id == identity), None)
        if run and self.states:
            run.state, run.run_details = self.states.pop(0)
        return self._found(run)

    @staticmethod
    def _found(thing: object) -> tuple[int, object]:
        return (200, thing) if thing else (404, {"message": "ResourceNotFoundError: not found", "code": 5})


class Running(LoopbackServer):
    """A fake server at work, until ``close``."""

    def __init__(self, fake: FakeKfp) -> None:
        self._fake = fake
        super().__init__()
        fake.address = self.address

    def answer(self, request: Request) -> tuple[int, object]:
        fake = self._fake
        time.sleep(fake.delay)
        fake.requests.append(f"{request.method} {request.path}")
        query = {key: values[0] for key, values in request.query.items()}
        if fake.failures:
            return fake.failures.pop(0), {"message": "the database is away"}
        if fake.token and request.headers.get("authorization") != f"Bearer {fake.token}":
            return 401, {"message": "Request header error: token is not valid"}
        status, content = fake.answer(request.method, request.path, query, request.body or {})
        return status, _TO_JSON(content)


def _wanted(query: dict[str, str]) -> str | None:
    """The name that a filter asks for."""
    if "filter" not in query:
        return None
    (predicate,) = json.loads(query["filter"])["predicates"]
    assert predicate["operation"] == "EQUALS"
    assert predicate["key"] == "display_name"
    return predicate["stringValue"]

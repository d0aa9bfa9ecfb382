"""Create a run on a cluster, at most one for each scheduled moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loopline.cluster import models, names, placement
from loopline.cluster.settings import Cluster
from loopline.compiler import parameters, scheduling
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError

if TYPE_CHECKING:
    from loopline.cluster.kfp_client import KfpClient, PipelineVersion


@dataclass(frozen=True)
class Submission:
    """A run on a cluster.

    Attributes:
        id: the ID of the run on the KFP server. ``name``: its name there.
        existed: it had been submitted before, for the same moment.
    """

    id: str
    name: str
    existed: bool


def submit(
    server: "KfpClient",
    cluster: Cluster,
    pipeline: str,
    case: UseCase,
    given: Mapping[str, str],
    moment: datetime | None,
    version: "PipelineVersion",
) -> Submission:
    """Create a run, unless there is one for the same scheduled moment.

    Args:
        server: the client of the KFP server.
        cluster: the settings.
        pipeline: name of the pipeline.
        case: the use case.
        given: parameters that override everything else.
        moment: when the run was scheduled; None for a run that is not scheduled.
        version: the version of the pipeline.

    Raises:
        LooplineError: a parameter is wrong or missing, or the server refuses. No run was created.
    """
    name = run_name(pipeline, case, moment or datetime.now(UTC))
    experiment = server.find_experiment()
    before = server.find_run(experiment, name) if moment and experiment else None
    if before:
        return Submission(before.run_id, name, existed=True)
    values = run_parameters(cluster, pipeline, case, given, moment, version)
    run = server.create_run(experiment or server.create_experiment(), name, version, values)
    return Submission(run.run_id, name, existed=False)


def run_name(pipeline: str, case: UseCase, moment: datetime) -> str:
    """The name of a run: the same for the same moment in any timezone."""
    return f"{names.pipeline_name(case, pipeline)}-{moment.astimezone(UTC):%Y%m%dt%H%M%Sz}"


def run_parameters(
    cluster: Cluster,
    pipeline: str,
    case: UseCase,
    given: Mapping[str, str],
    moment: datetime | None,
    version: "PipelineVersion",
) -> dict[str, Any]:
    """All parameters of a run.

    Raises:
        LooplineError: one is wrong, no model has a needed alias, or the version was compiled with other parameters.
    """
    window = scheduling.window(pipeline, case, moment) if moment else {}
    values: dict[str, Any] = {"usecase": case.package}
    values |= _with_versions(pipeline, parameters.complete(pipeline, case, cluster, {**window, **given}), case, cluster)
    in_pod = values.get("target") == "pod" and set(placement.GPU_PARAMETERS) <= set(version.parameters)
    if cluster.gpu and in_pod:
        values |= cluster.gpu.parameters()
    unknown = sorted(set(values) - set(version.parameters))
    missing = sorted(name for name, required in version.parameters.items() if required and name not in values)
    if unknown or missing:
        difference = " and ".join(
            [
                *([f"does not take {', '.join(unknown)}"] if unknown else []),
                *([f"needs {', '.join(missing)}"] if missing else []),
            ]
        )
        raise LooplineError(
            f"version {version.name} of pipeline {pipeline} was compiled at another code revision than this command: "
            f"it {difference}; submit with the revision of the overlay that is applied, or apply this one's"
        )
    return values


def _with_versions(pipeline: str, values: dict[str, str], case: UseCase, cluster: Cluster) -> dict[str, str]:
    """Replace aliases by the versions that have them now, so that the alias can move while the run goes on."""
    resolved = dict(values)
    for key, alias in parameters.aliases(pipeline, values).items():
        number = models.version_of(cluster.registry, case.spec.name, alias)
        if number is None:
            first = "training" if alias == "candidate" else "validation"
            raise LooplineError(
                f"no model of {case.spec.name} is {alias} in {cluster.registry} yet; `loopline submit {first}` first"
            )
        resolved[key] = number
    return resolved

"""The parameters of each pipeline: given by the person, else by the use case, its schedule and where state lies.

Defaults go by the name of a parameter, so a new DAG that uses known names needs no edit here.
"""

import difflib
import inspect
from collections.abc import Collection, Mapping
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from loopline.compiler import pipeline_ir
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import UseCase
from loopline.components.contract.window import parse_time
from loopline.components.deployment.release import plan
from loopline.components.errors import LooplineError
from loopline.components.inference.engine import ENGINES
from loopline.components.training.target import TARGETS

# Parameters that name a model version and may be given as an alias.
VERSIONS = ("version", "champion")
# Only a release has an owner. It resolves an alias itself, and its target is where traffic moves.
_RELEASE = "owner"
# What a release by Git commits to by default.
OVERLAY = "prod"
# As many as kfp.local runs in parallel.
SHARDS = "2"


class Locations(Protocol):
    """Where state lies: in a laptop's workspace, or on a cluster."""

    @property
    def registry(self) -> str:
        """MLflow URI of the model registry."""

    @property
    def tracking(self) -> str:
        """MLflow URI of the experiment tracking."""

    @property
    def training(self) -> str:
        """Where training steps train: pod, their own, or trainjob."""

    def features(self, usecase: str) -> str:
        """Feature store of a use case."""

    def predictions(self, usecase: str) -> str:
        """Where a use case's batch predictions are published."""

    def release(self, usecase: str) -> dict[str, str]:
        """How a release reaches its endpoint: target, target_uri, log, owner and wait of the pipeline."""


def complete(pipeline: str, case: UseCase, locations: Locations, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a pipeline but ``usecase``.

    Args:
        pipeline: its name.
        case: the use case, whose replay windows are the defaults.
        locations: where state lies.
        given: what the person gave; takes precedence.

    Raises:
        LooplineError: the pipeline has no parameter of that name, a window or a target is wrong, or a parameter that
            nothing gives a default is missing.
    """
    name = pipeline_ir.known_pipeline(pipeline)
    wanted = [p for p in signature(name) if p != "usecase"]
    for key in given:
        if key not in wanted:
            close = difflib.get_close_matches(key, wanted, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(wanted)}"
            raise LooplineError(f"pipeline {pipeline} has no parameter '{key}'; {hint}")
    values = {**_of_usecase(wanted, case, given), **_of_environment(wanted, case, locations), **given}
    missing = [key for key in wanted if key not in values and signature(name)[key].default is inspect.Parameter.empty]
    if missing:
        raise LooplineError(f"pipeline {pipeline} needs {', '.join(missing)}: give each with --param name=value")
    _check(wanted, case, values)
    return {key: values[key] for key in wanted if key in values}


def _check(wanted: Collection[str], case: UseCase, values: Mapping[str, str]) -> None:
    for start, end in (("start", "end"), ("evaluate_start", "evaluate_end"), ("compare_start", "compare_end")):
        if start in wanted:
            case.spec.window(values[start], values[end])
    if "engine" in wanted and values["engine"] not in ENGINES:
        raise LooplineError(f"there is no engine '{values['engine']}'; there are {', '.join(ENGINES)}")
    if _RELEASE in wanted:
        plan.expect_target_uri(plan.known_target(values["target"]), values["target_uri"])
        plan.seconds(values["wait"])
    elif "target" in wanted and values["target"] not in TARGETS:
        raise LooplineError(f"there is no training target '{values['target']}'; there are {', '.join(TARGETS)}")


def defaults(pipeline: str, case: UseCase) -> dict[str, str]:
    """The parameters of a pipeline that the use case gives a value, wherever the pipeline will run."""
    wanted = signature(pipeline_ir.known_pipeline(pipeline))
    return {key: value for key, value in _of_usecase(wanted, case, {}).items() if key in wanted}


def _of_usecase(wanted: Collection[str], case: UseCase, given: Mapping[str, str]) -> dict[str, str]:
    """Values by parameter name; which window and which version are meant follows from the other parameters."""
    replay = case.spec.replay
    compare_start = given.get("compare_start", str(replay.compare[0]))
    if "compare_start" in wanted:  # train on what came before
        window = (_earlier(compare_start, case.spec), compare_start)
    elif "evaluate_start" in wanted:
        window = _text(replay.train)
    elif "expected_champion" in wanted:
        window = _text(replay.validate_on)
    else:
        window = _text(replay.batch)
    return {
        "start": window[0],
        "end": window[1],
        "evaluate_start": str(replay.validate_on[0]),
        "evaluate_end": str(replay.validate_on[1]),
        "compare_start": compare_start,
        "compare_end": str(replay.compare[1]),
        "version": "candidate" if "expected_champion" in wanted else "champion",
        "champion": "champion",
        "expected_champion": "",
        "engine": ENGINES[0],
        "shards": SHARDS,
    }


def _of_environment(wanted: Collection[str], case: UseCase, locations: Locations) -> dict[str, str]:
    """Values by parameter name of what differs from one place where pipelines run to the next."""
    values = {
        "registry": locations.registry,
        "tracking": locations.tracking,
        "target": locations.training,
        "store": locations.features(case.spec.name),
        "destination": locations.predictions(case.spec.name),
    }
    if _RELEASE in wanted:
        values |= {"overlay": OVERLAY, **locations.release(case.spec.name)}
    return values


def _text(window: tuple[Any, Any]) -> tuple[str, str]:
    return str(window[0]), str(window[1])


def signature(name: str) -> Mapping[str, inspect.Parameter]:
    """The parameters that a pipeline's function takes."""
    return inspect.signature(pipeline_ir.load(name).pipeline_func).parameters


def _earlier(moment: str, spec: UseCaseSpec) -> str:
    """The moment at which a training window of `retrain.window` begins that ends at ``moment``, in local time."""
    zone = ZoneInfo(spec.timezone)
    local = parse_time(moment, zone).astimezone(zone).replace(tzinfo=None)
    return (local - spec.retrain.window).isoformat().removesuffix("T00:00:00")


def aliases(pipeline: str, values: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a pipeline that name a version by an alias, which is resolved before the run."""
    if _RELEASE in signature(pipeline_ir.known_pipeline(pipeline)):
        return {}
    return {key: values[key] for key in VERSIONS if values.get(key) and not values[key].isdigit()}

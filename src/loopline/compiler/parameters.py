"""The parameters of each pipeline: given by the person, else by the use case, its schedule and where state lies."""

import difflib
import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from loopline.compiler import pipeline_ir
from loopline.components.contract.schedule import Schedule
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import UseCase
from loopline.components.contract.window import parse_time
from loopline.components.deployment import plan
from loopline.components.errors import LooplineError
from loopline.components.inference.engine import ENGINES
from loopline.components.training.target import TARGETS

# Parameters that name a model version and may be given as an alias.
VERSIONS = ("version", "champion")
# Pipelines that find out by themselves which version an alias means.
RESOLVING = ("release",)
# What a release by Git commits to unless somebody says otherwise: what is in force.
OVERLAY = "prod"
# As many as a laptop runs side by side.
SHARDS = "2"


class Places(Protocol):
    """Where state lies: a laptop's workspace, or a cluster."""

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
        """How a release is carried out there: the pipeline's target, place, log, owner and wait."""


def complete(pipeline: str, case: UseCase, places: Places, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a pipeline but ``usecase``.

    Args:
        pipeline: its name.
        case: the use case, whose replay windows are the defaults.
        places: where state lies.
        given: what the person said; wins.

    Raises:
        LooplineError: a parameter that the pipeline does not have, or a window that is none.
    """
    name = pipeline_ir.known_pipeline(pipeline)
    wanted = [p for p in inspect.signature(pipeline_ir.load(name).pipeline_func).parameters if p != "usecase"]
    for key in given:
        if key not in wanted:
            close = difflib.get_close_matches(key, wanted, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(wanted)}"
            raise LooplineError(f"pipeline {pipeline} has no parameter '{key}'; {hint}")
    values = {**_defaults(name, case, places, given), **given}
    for start, end in (("start", "end"), ("evaluate_start", "evaluate_end"), ("compare_start", "compare_end")):
        if start in wanted:
            case.spec.window(values[start], values[end])
    if "engine" in wanted and values["engine"] not in ENGINES:
        raise LooplineError(f"there is no engine '{values['engine']}'; there are {', '.join(ENGINES)}")
    if name == "release":
        plan.expect_place(plan.known_target(values["target"]), values["place"])
        plan.seconds(values["wait"])
    elif "target" in wanted and values["target"] not in TARGETS:
        raise LooplineError(f"there is no training target '{values['target']}'; there are {', '.join(TARGETS)}")
    return {key: values[key] for key in wanted}


def _defaults(name: str, case: UseCase, places: Places, given: Mapping[str, str]) -> dict[str, str]:
    replay = case.spec.replay
    windows = {
        "training": replay.train,
        "validation": replay.validate_on,
        "batch_inference": replay.batch,
        "sharded_batch": replay.batch,
        "materialisation": replay.batch,
    }
    values: dict[str, Any] = {
        "registry": places.registry,
        "tracking": places.tracking,
        "target": places.training,
        "store": places.features(case.spec.name),
        "destination": places.predictions(case.spec.name),
        "evaluate_start": str(replay.validate_on[0]),
        "evaluate_end": str(replay.validate_on[1]),
        "compare_start": str(replay.compare[0]),
        "compare_end": str(replay.compare[1]),
        "version": "candidate" if name == "validation" else "champion",
        "champion": "champion",
        "expected_champion": "",
        "engine": ENGINES[0],
        "shards": SHARDS,
    }
    if name == "release":
        return {**values, "overlay": OVERLAY, **places.release(case.spec.name)}
    if name == "retrain":
        compare_start = given.get("compare_start", values["compare_start"])
        values["end"] = compare_start
        values["start"] = _earlier(compare_start, case.spec)
    else:
        values["start"], values["end"] = (str(moment) for moment in windows[name])
    return values


def scheduled(pipeline: str, case: UseCase, moment: datetime) -> dict[str, str]:
    """The window of a run that was scheduled for a moment, as parameters; of a retraining, what it compares on.

    Args:
        pipeline: its name.
        case: the use case, whose ``schedule`` says where the window lies.
        moment: when the run was scheduled, with a zone.

    Raises:
        LooplineError: the use case has no schedule for that pipeline.
    """
    name = pipeline_ir.known_pipeline(pipeline)
    schedule = case.spec.schedule.given().get(name)
    if schedule is None:
        raise LooplineError(
            f"use case {case.spec.name} has no schedule.{name}, so nothing says which window a moment stands for; "
            f"add it to {case.folder / 'usecase.yaml'}, or give the window with --param"
        )
    if not isinstance(schedule, Schedule):
        return {}
    start, end = schedule.window_at(moment, ZoneInfo(case.spec.timezone))
    return {"compare_start": start, "compare_end": end} if name == "retrain" else {"start": start, "end": end}


def _earlier(moment: str, spec: UseCaseSpec) -> str:
    """The moment at which a training window of `retrain.window` begins that ends at ``moment``, in local time."""
    zone = ZoneInfo(spec.timezone)
    local = parse_time(moment, zone).astimezone(zone).replace(tzinfo=None)
    return (local - spec.retrain.window).isoformat().removesuffix("T00:00:00")


def aliases(pipeline: str, values: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a pipeline that name a version by an alias, which has to be resolved before the run."""
    if pipeline_ir.known_pipeline(pipeline) in RESOLVING:
        return {}
    return {key: values[key] for key in VERSIONS if values.get(key) and not values[key].isdigit()}

"""The schedule of a pipeline in usecase.yaml, and the window of time that a scheduled run is about."""

from datetime import datetime
from zoneinfo import ZoneInfo

from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract.schedule import CustomSchedule, Schedule, Timetable
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError


def schedule_of(pipeline: str, case: UseCase) -> Timetable:
    """The schedule of a pipeline.

    Raises:
        LooplineError: there is no such pipeline or no schedule for it, or the schedule lacks a window that the pipeline
            works on, or has one that it does not take.
    """
    name, file = pipeline_ir.known_pipeline(pipeline), case.folder / "usecase.yaml"
    schedule = case.spec.schedule.given().get(name)
    if schedule is None:
        raise LooplineError(
            f"use case {case.spec.name} has no schedule.{name}, so a moment has no window; "
            f"add it to {file}, or give the window with --param"
        )
    if isinstance(schedule, CustomSchedule):
        takes_window = "start" in parameters.signature(name)
        if takes_window and not schedule.window:
            raise LooplineError(f"{file}: schedule.custom.{name} needs a window, because {name} takes start and end")
        if schedule.window and not takes_window:
            raise LooplineError(f"{file}: schedule.custom.{name} has a window, but {name} takes no start and end")
    return schedule


def window(pipeline: str, case: UseCase, moment: datetime) -> dict[str, str]:
    """The window of a run that was scheduled for a moment, as parameters; of a retraining, what it compares on.

    Args:
        pipeline: its name.
        case: the use case, whose ``schedule`` says where the window lies.
        moment: when the run was scheduled, with a zone.

    Raises:
        LooplineError: the use case has no schedule for that pipeline.
    """
    name = pipeline_ir.known_pipeline(pipeline)
    schedule = schedule_of(name, case)
    if not isinstance(schedule, Schedule) or schedule.window is None:
        return {}
    start, end = schedule.window_at(moment, ZoneInfo(case.spec.timezone))
    compares = "compare_start" in parameters.signature(name)
    return {"compare_start": start, "compare_end": end} if compares else {"start": start, "end": end}

"""The schedules of a use case: the section ``schedule`` of usecase.yaml."""

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from loopline.components.contract.cron import parse_cron
from loopline.components.contract.duration import parse_duration
from loopline.components.io.strict import Strict


def parse_offset(value: Any) -> timedelta:
    """Read a signed duration such as ``-1d``, ``0d`` or ``+6h``.

    Raises:
        ValueError: the text is not a duration.
    """
    if isinstance(value, timedelta):
        return value
    sign, length = re.fullmatch(r"\s*([+-]?)(.*)", str(value), re.DOTALL).groups()  # type: ignore[union-attr]
    return -parse_duration(length) if sign == "-" else parse_duration(length)


Offset = Annotated[timedelta, BeforeValidator(parse_offset)]
Cron = Annotated[str, AfterValidator(parse_cron)]
Deadline = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0))]


class Timetable(Strict):
    """When one pipeline runs.

    Attributes:
        cron: minute, hour, day of month, month, day of week, in the use case's timezone.
        deadline: a run that could not start within this time is skipped.
        keep_succeeded: how many successful submissions the cluster keeps. ``keep_failed``: likewise for failed ones.
        suspend: keep it in Git and on the cluster, but start no runs.
    """

    cron: Cron
    deadline: Deadline = timedelta(hours=1)
    keep_succeeded: int = Field(default=3, ge=0)
    keep_failed: int = Field(default=3, ge=0)
    suspend: bool = False


class Schedule(Timetable):
    """When one pipeline runs, and on which window of time.

    Attributes:
        window: begin and end (excluded), each as an offset, before (-) or after, from what ``since`` names.
        since: ``midnight``, the last one at or before the scheduled time in the use case's timezone, or ``moment``, the
            scheduled time itself.
    """

    window: tuple[Offset, Offset]
    since: Literal["midnight", "moment"] = "midnight"

    @model_validator(mode="after")
    def _window_is_one(self) -> Self:
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError("window is [begin, end], and its begin does not come before its end")
        return self

    def window_at(self, moment: datetime, zone: ZoneInfo) -> tuple[str, str]:
        """The window of a scheduled run, as text for the parameters of a pipeline.

        Days are calendar days: yesterday's midnight plus one day is today's, also when the clocks change.

        Args:
            moment: the scheduled time, with a zone.
            zone: the use case's timezone.
        """
        if self.since == "moment":
            begin, end = ((moment + offset).astimezone(zone) for offset in self.window)
        else:
            midnight = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
            begin, end = (midnight + offset for offset in self.window)
        return _text(begin), _text(end)


class CustomSchedule(Schedule):
    """When a DAG of your own runs; without a window if it takes no ``start`` and ``end``."""

    window: tuple[Offset, Offset] | None = None  # type: ignore[assignment] # what may be left out here only


class Schedules(Strict):
    """The scheduled pipelines; one that is left out is not scheduled.

    Training and validation are not scheduled: they make the first champion, which people review. From then on
    ``retrain`` does both. A release takes the version that is champion when it runs.

    Attributes:
        custom: schedules of DAGs that were added to pipelines/, by the name of their module.
    """

    batch_inference: Schedule | None = None
    materialisation: Schedule | None = None
    retrain: Schedule | None = None
    release: Timetable | None = None
    custom: dict[str, CustomSchedule] = Field(default_factory=dict)

    def given(self) -> dict[str, Timetable]:
        """The schedules that are set, by pipeline."""
        named = {name: schedule for name, schedule in dict(self).items() if isinstance(schedule, Timetable)}
        return {**named, **self.custom}


def _text(moment: datetime) -> str:
    """A local moment as ISO text with its offset from UTC; a bare date at midnight, as people write it."""
    return moment.date().isoformat() if moment.time() == time(0) else moment.isoformat()

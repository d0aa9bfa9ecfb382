"""What a use case runs by the clock: the section ``schedule`` of usecase.yaml."""

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from loopline.components.contract.cron import parse_cron
from loopline.components.contract.duration import parse_duration
from loopline.components.io.strict import Strict


def parse_offset(value: Any) -> timedelta:
    """Read a signed length of time such as ``-1d``, ``0d`` or ``+6h``.

    Raises:
        ValueError: the text is no such thing.
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
        deadline: a run that could not start for so long after its moment is left out.
        keep_succeeded: how many finished submissions the cluster keeps to be looked at. ``keep_failed``: likewise.
        suspend: keep it in Git and on the cluster, but do not fire.
    """

    cron: Cron
    deadline: Deadline = timedelta(hours=1)
    keep_succeeded: int = Field(default=3, ge=0)
    keep_failed: int = Field(default=3, ge=0)
    suspend: bool = False


class Schedule(Timetable):
    """When one pipeline runs, and on which window of time.

    Attributes:
        window: begin and end (excluded), each so long before (-) or after the moment that ``since`` names.
        since: ``midnight``, the one at or before the scheduled moment in the use case's timezone, or ``moment`` itself.
    """

    window: tuple[Offset, Offset]
    since: Literal["midnight", "moment"] = "midnight"

    @model_validator(mode="after")
    def _window_is_one(self) -> Self:
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError("window is [begin, end], and its begin does not come before its end")
        return self

    def window_at(self, moment: datetime, zone: ZoneInfo) -> tuple[str, str]:
        """The window of a run that was scheduled for a moment, as text that a pipeline takes.

        Days are days of the calendar: one more than yesterday's midnight is today's, also where clocks were changed.

        Args:
            moment: when it was scheduled, with a zone.
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
    """What runs by the clock; a pipeline that is left out does not.

    Training and validation are not among them: they make the first champion, which people look at. From then on
    ``retrain`` does both. A release is of whichever version is champion when it runs.

    Attributes:
        custom: schedules of DAGs that were added to pipelines/, by the name of their module.
    """

    batch_inference: Schedule | None = None
    materialisation: Schedule | None = None
    retrain: Schedule | None = None
    release: Timetable | None = None
    custom: dict[str, CustomSchedule] = Field(default_factory=dict)

    def given(self) -> dict[str, Timetable]:
        """Those that there are, by pipeline."""
        named = {name: schedule for name, schedule in dict(self).items() if isinstance(schedule, Timetable)}
        return {**named, **self.custom}


def _text(moment: datetime) -> str:
    """A local moment as ISO text with its offset from UTC; a bare date at midnight, as people write it."""
    return moment.date().isoformat() if moment.time() == time(0) else moment.isoformat()

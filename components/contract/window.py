"""A half-open time window in UTC, ``[start, end)``."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Self

from loopline.components.errors import LooplineError


def parse_time(value: str | date | datetime, zone: tzinfo = UTC) -> datetime:
    """Read an ISO date or time, as UTC; without a zone it is in ``zone``.

    Raises:
        LooplineError: it is neither a date nor a time.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=zone)
    else:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise LooplineError(f"'{value}' is not a date or time; write for example 2013-05-01") from error
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)


@dataclass(frozen=True)
class Window:
    """The moments ``t`` with ``start <= t < end``, both in UTC."""

    start: datetime
    end: datetime

    @classmethod
    def parse(cls, start: str | date | datetime, end: str | date | datetime, zone: tzinfo = UTC) -> Self:
        """Build a window from two dates or times; without a zone they are in ``zone``.

        Raises:
            LooplineError: one is not a time, or the end does not come after the start.
        """
        window = cls(parse_time(start, zone), parse_time(end, zone))
        if window.end <= window.start:
            raise LooplineError(f"the window from {start} to {end} is empty: its end must come after its start")
        return window

    def extended(self, lookback: timedelta) -> "Window":
        """The same window beginning ``lookback`` earlier."""
        return Window(self.start - lookback, self.end)

    @property
    def days(self) -> float:
        """Length in days."""
        return (self.end - self.start) / timedelta(days=1)

    def __str__(self) -> str:
        return f"{iso(self.start)} to {iso(self.end)}"


def iso(moment: datetime) -> str:
    """A time as ISO text, as short as possible: a bare date at midnight."""
    text = moment.astimezone(UTC).isoformat().replace("+00:00", "")
    return text.removesuffix("T00:00:00")

"""Lengths of time, moments and windows as people write them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.contract.duration import parse_duration
from loopline.components.contract.window import Window, iso, parse_time
from loopline.components.errors import LooplineError

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30s", timedelta(seconds=30)),
        ("45m", timedelta(minutes=45)),
        ("1.5h", timedelta(minutes=90)),
        (" 2 d ", timedelta(days=2)),
        ("8w", timedelta(weeks=8)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_durations(text: Any, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "soon", "1", 3600, None, "-1h", "1h30m", "1 month", "h", "999999999999w"])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is too long"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2013-05-01", datetime(2013, 5, 1, 4, tzinfo=UTC)),
        (date(2013, 1, 1), datetime(2013, 1, 1, 5, tzinfo=UTC)),
        ("2013-05-01T06:30", datetime(2013, 5, 1, 10, 30, tzinfo=UTC)),
        ("2013-05-01T06:30Z", datetime(2013, 5, 1, 6, 30, tzinfo=UTC)),
        ("2013-05-01T06:30+02:00", datetime(2013, 5, 1, 4, 30, tzinfo=UTC)),
        (datetime(2013, 5, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_local(value: Any, moment: datetime) -> None:
    assert parse_time(value, NEW_YORK) == moment


@pytest.mark.parametrize("value", ["", "tomorrow", "2013-02-30", "01.05.2013"])
def test_what_is_no_time(value: str) -> None:
    with pytest.raises(LooplineError, match="is not a date or time; write for example"):
        parse_time(value)


def test_a_window_across_the_change_of_clocks_is_an_hour_short() -> None:
    window = Window.parse("2013-03-10", "2013-03-11", NEW_YORK)
    assert window.days == pytest.approx(23 / 24)
    assert str(window) == "2013-03-10T05:00:00 to 2013-03-11T04:00:00"


def test_a_lookback_moves_only_the_start() -> None:
    window = Window.parse("2013-05-03", "2013-05-04").extended(timedelta(days=2))
    assert (iso(window.start), iso(window.end)) == ("2013-05-01", "2013-05-04")


@pytest.mark.parametrize("end", ["2013-05-01", "2013-04-30"])
def test_an_empty_window(end: str) -> None:
    with pytest.raises(LooplineError, match=f"the window from 2013-05-01 to {end} is empty: its end must come after"):
        Window.parse("2013-05-01", end)


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_reads_back_to_the_same_moment(moment: datetime) -> None:
    assert parse_time(iso(moment)) == moment

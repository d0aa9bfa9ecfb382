"""Schedules: cron strings that would never fire are refused, and windows follow the calendar of the use case."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loopline.components.contract.cron import parse_cron
from loopline.components.contract.schedule import Schedule
from loopline.components.contract.window import parse_time

NEW_YORK = ZoneInfo("America/New_York")


def field(least, most):
    number = st.integers(least, most)
    ranged = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.just("*") | ranged, st.integers(1, 30)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(st.just("*") | number.map(str) | ranged | stepped, min_size=1, max_size=3).map(",".join)


@given(st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)))
def test_every_well_formed_expression_is_taken(fields):
    assert parse_cron("  ".join(fields)) == " ".join(fields)


def test_names_of_months_and_days():
    assert parse_cron("0 5 * jan-MAR mon,fri") == "0 5 * jan-MAR mon,fri"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("@daily", "it has 1 fields instead of five"),
        ("0 0 5 * * *", "it has 6 fields instead of five"),
        ("", "it has 0 fields"),
        ("61 * * * *", "minute '61' is not between 0 and 59"),
        ("0 24 * * *", "hour '24' is not between 0 and 23"),
        ("0 5 0 * *", "day of month '0' is not between 1 and 31"),
        ("0 5 * foo *", "month 'foo' is not between 1 and 12 or jan to dec"),
        ("0 5 * * 7", "day of week '7' is not between 0 and 6 or sun to sat"),
        ("*/0 * * * *", "a step is at least 1"),
        ("30-10 * * * *", "a range begins with the smaller value"),
        ("5,,6 * * * *", "'' is not a valid minute"),
        ("L * * * *", "minute 'L' is not between"),
        ("0 0 31 feb,apr *", "would never fire"),
        ("٣ * * * *", "minute '٣' is not between"),
        ("*/٣ * * * *", "is not a valid minute"),
    ],
)
def test_refused(value, problem):
    with pytest.raises(ValueError, match=problem):
        parse_cron(value)


def test_a_day_of_week_makes_up_for_an_impossible_day_of_month():
    assert parse_cron("0 0 31 2 mon")  # cron fires on either of them


def test_from_midnight_in_the_zone_of_the_use_case():
    yesterday = Schedule(cron="0 4 * * *", window=("-1d", "0d"))
    assert yesterday.window_at(datetime(2013, 6, 2, 3, tzinfo=UTC), NEW_YORK) == ("2013-05-31", "2013-06-01")
    assert yesterday.window_at(datetime(2013, 6, 2, 5, tzinfo=UTC), NEW_YORK) == ("2013-06-01", "2013-06-02")


def test_a_day_on_which_clocks_change_is_still_one_day():
    today = Schedule(cron="0 4 * * *", window=("0d", "1d"))
    assert today.window_at(datetime(2013, 3, 10, 12, tzinfo=UTC), NEW_YORK) == ("2013-03-10", "2013-03-11")
    assert today.window_at(datetime(2013, 11, 3, 12, tzinfo=UTC), NEW_YORK) == ("2013-11-03", "2013-11-04")


@given(
    st.integers(0, 20 * 365 * 86400).map(lambda seconds: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
)
def test_from_the_moment_itself(moment):
    begin, end = Schedule(cron="* * * * *", window=("-6h", "+30m"), since="moment").window_at(moment, NEW_YORK)
    assert parse_time(begin, NEW_YORK) == moment - timedelta(hours=6)
    assert parse_time(end, NEW_YORK) == moment + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"window": ["0d", "-1d"]}, "its begin does not come before its end"),
        ({"window": ["yesterday", "0d"]}, "'yesterday' is not a duration"),
        ({"cron": "sometimes"}, "is not a cron expression"),
        ({"since": "noon"}, "Input should be 'midnight' or 'moment'"),
        ({"deadline": "0s"}, "greater than datetime"),
        ({"keep_failed": -1}, "greater than or equal to 0"),
        ({"timezone": "UTC"}, "Extra inputs are not permitted"),
    ],
)
def test_bad_section(change, problem):
    with pytest.raises(ValidationError, match=problem):
        Schedule(**{"cron": "0 4 * * *", "window": ["-1d", "0d"], **change})

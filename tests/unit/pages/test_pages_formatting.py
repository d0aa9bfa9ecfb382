from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loopline.components.pages import formatting
from loopline.components.pages.axes import Scale, ticks
from loopline.components.pages.metric_names import metric_value
from loopline.report.model_names import main_alias


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2013-05-01T04:00:00", "2013-06-01T04:00:00", "May 2013"),
        ("2013-01-01T05:00:00", "2013-05-01T04:00:00", "January to April 2013"),
        ("2012-11-01T04:00:00", "2013-02-01T05:00:00", "November 2012 to January 2013"),
        ("2013-05-03T04:00:00", "2013-05-04T04:00:00", "2013-05-03"),
        ("2013-05-03T04:00:00", "2013-05-10T04:00:00", "2013-05-03 to 2013-05-09"),
        ("2013-05-03", "2013-05-10", "2013-05-02 20:00 to 2013-05-09 20:00"),
    ],
)
def test_windows_are_said_in_the_words_of_their_zone(start: str, end: str, said: str) -> None:
    assert formatting.window((start, end), "America/New_York") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0.00 s"), (0.064, "0.06 s"), (3.21, "3.2 s"), (99.4, "99.4 s"), (99.6, "1 min 40 s"), (7322, "2 h 02 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert formatting.duration(seconds) == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("auc", 0.76549, "0.765"),
        ("auc", None, "–"),
        ("auc", float("nan"), "–"),
        ("rmse", 34.567, "34.57"),
        ("rmse", 12345.6, "12,346"),
        ("r2", -0.2, "−0.200"),
        ("model_bytes", 20e6, "20 MB"),
        ("model_bytes", 412_345, "0.412 MB"),
        ("model_bytes", 5_120, "5.12 kB"),
        ("latency_p99_ms", 0.1234, "0.12 ms"),
        ("rows_per_second", 812_345.6, "812,346"),
    ],
)
def test_metrics_have_their_unit(name: str, value: float | None, said: str) -> None:
    assert metric_value(name, value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.00123, "+0.0012"), (-0.5, "−0.5000"), (0.0, "0.0000"), (123.4, "+123.4")]
)
def test_gains_have_a_sign(value: float, said: str) -> None:
    assert formatting.gain(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.0, "0.0%"), (1e-6, "< 0.01%"), (0.0042, "0.42%"), (0.333, "33.3%")])
def test_a_share_that_is_something_never_reads_as_nothing(value: float, said: str) -> None:
    assert formatting.share(value) == said


@pytest.mark.parametrize(
    ("aliases", "foremost"),
    [(["previous", "candidate"], "candidate"), (["challenger", "champion"], "champion"), (["blue"], "blue"), ([], "")],
)
def test_foremost_alias(aliases: list[str], foremost: str) -> None:
    assert main_alias(aliases) == foremost


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.timedeltas(timedelta(seconds=1), timedelta(days=900)))
def test_every_window_has_words(begin: datetime, length: timedelta) -> None:
    assume(1 < begin.year < 9990)
    assert formatting.window((begin.isoformat(), (begin + length).isoformat()), "Asia/Kathmandu")


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_are_few_and_inside(low: float, width: float, wanted: int) -> None:
    found = ticks(low, low + width, wanted)
    slack = 1e-6 * max(abs(low), width)
    assert len(found) <= 2 * wanted
    assert all(low - slack <= value <= low + width + slack for value in found)
    assert found == sorted(set(found))


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(-1e7, 1e7))
def test_a_scale_stays_on_the_paper(low: float, width: float, value: float) -> None:
    assert 10 <= Scale(low, low + width, 10, 90)(value) <= 90

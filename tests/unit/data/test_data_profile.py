"""The profile: right numbers for any column, and a page that holds together whatever is in the data."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from data_shop import END, START, Shop, orders
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.contract.tables import Column, Table
from loopline.components.data.coerce import ARROW_TYPES
from loopline.components.data.ingest import ingest
from loopline.components.data.page import render_page
from loopline.components.data.profile import BINS, profile_table
from loopline.components.data.validate import validate_data


def profile(values: list[Any], kind: Any) -> dict[str, Any]:
    table = pa.table({"x": pa.array(values, ARROW_TYPES[kind])})
    return profile_table(table, Table(columns={"x": Column(type=kind)}))["x"]


def test_numbers() -> None:
    described = profile([1.0, 2.0, 2.0, 9.0, None], "float")
    assert {key: described[key] for key in ("type", "missing", "distinct", "min", "mean", "max")} == {
        "type": "float",
        "missing": 0.2,
        "distinct": 3,
        "min": 1.0,
        "mean": 3.5,
        "max": 9.0,
    }
    assert described["histogram"][0] == ("1", 1)
    assert described["histogram"][2] == ("2", 2)
    assert described["histogram"][-1] == ("8.5", 1)


def test_few_whole_numbers_get_a_bar_each() -> None:
    assert profile([0, 0, 1, 3], "integer")["histogram"] == [("0", 2), ("1", 1), ("2", 0), ("3", 1)]


def test_texts_are_counted_by_value() -> None:
    described = profile([*"aabbbc", None], "string")
    assert described["histogram"] == [("b", 3), ("a", 2), ("c", 1)]
    assert (described["min"], described["distinct"]) == (None, 3)
    assert profile(list("abcdefghij"), "string")["histogram"][-1] == ("other", 2)
    assert profile([True, False, True], "boolean")["histogram"] == [("true", 2), ("false", 1)]


def test_times() -> None:
    described = profile([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 17, tzinfo=UTC)], "timestamp")
    assert (described["min"], described["mean"], described["max"]) == ("2024-01-01", None, "2024-01-17")
    assert described["histogram"][1] == ("2024-01-02", 0)
    assert profile([datetime.max.replace(tzinfo=UTC)], "timestamp")["histogram"] == [("9999-12-31T23:59:59", 1)]


@pytest.mark.parametrize("kind", list(ARROW_TYPES))
@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_to_describe(kind: str, values: list[None]) -> None:
    described = profile(values, kind)
    assert described["missing"] == (1.0 if values else 0.0)
    assert (described["distinct"], described["min"], described["histogram"]) == (0, None, [])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_is_in_a_bar(values: list[float]) -> None:
    counts = [count for _, count in profile(values, "float")["histogram"]]
    assert sum(counts) == len(values)
    assert len(counts) <= BINS


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_every_integer_is_in_a_bar(values: list[int]) -> None:
    counts = [count for _, count in profile(values, "integer")["histogram"]]
    assert sum(counts) == len(values)
    assert len(counts) <= BINS


@given(st.lists(st.datetimes(), min_size=1))
def test_every_moment_is_in_a_bar(values: list[datetime]) -> None:
    histogram = profile([value.replace(tzinfo=UTC) for value in values], "timestamp")["histogram"]
    assert sum(count for _, count in histogram) == len(values)


class Balanced(HTMLParser):
    """Checks that tags close in order; `meta` never does."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_page(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.addresses == []
    return parser


def test_the_page_escapes_what_is_in_the_data(shop: Shop, tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    frame = orders()
    frame.loc[30, "shop"] = attack
    shop.give(orders=frame)
    ingest(shop.package, START, END, tmp_path / "raw")
    validate_data(shop.package, tmp_path / "raw", tmp_path / "data", tmp_path / "quarantine", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert "script" not in read_page(page).seen
    assert "&lt;script&gt;" in page
    assert "72 rows in, 71 out" in page
    assert "shop is not one of north, south" in page
    assert len(page) < 50_000


def test_a_page_shows_at_most_twenty_bad_rows() -> None:
    bad = pa.table({"x": range(100), "reason": ["x is wrong"] * 100})
    counts = {"rows_in": 100, "rows_out": 0, "rows_quarantined": 100, "columns": {"x": profile([], "integer")}}
    page = render_page("A & B", {"t": counts}, {"t": {"x is wrong": 100}}, {"t": bad}, ["too bad & too old"])
    assert read_page(page).seen.count("tr") == 2 + 2 + 21
    assert "A &amp; B" in page
    assert "too bad &amp; too old" in page

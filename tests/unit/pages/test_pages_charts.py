"""Charts of plain numbers, and the template environment of every page."""

from pathlib import Path
from xml.etree import ElementTree as ET

import jinja2
import pytest

from loopline.components.pages import charts
from loopline.components.pages.data_tables import column_rows
from loopline.components.pages.page import render

HOSTILE = "<script>alert(1)</script> & co"


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_a_histogram_has_an_area_for_each_series_with_its_name() -> None:
    svg = charts.histogram({"one": [1, 2], HOSTILE: [3, 0]}, [0.0, 0.5, 1.0], "x", "rows")
    areas = [path for path in drawn(svg).iter("path") if path.get("class", "").startswith("area")]
    assert [area.get("class") for area in areas] == ["area s0", "area s1"]
    assert [area.findtext("title") for area in areas] == ["one", HOSTILE]


def test_a_histogram_of_differences_marks_zero() -> None:
    around_zero = charts.histogram({"one": [1, 2]}, [-1.0, 0.5, 1.0], "x", "rows")
    above_zero = charts.histogram({"one": [1, 2]}, [0.0, 0.5, 1.0], "x", "rows")
    assert "reference" in around_zero
    assert "reference" not in above_zero


def test_an_empty_histogram_is_drawn() -> None:
    assert drawn(charts.histogram({"none": [0, 0]}, [0.0, 0.5, 1.0], "x", "rows")).get("role") == "img"


def test_bars_say_what_they_count() -> None:
    bars = drawn(charts.bars([1, 0], "distribution", ["a: 1 row", HOSTILE]))
    assert [title.text for title in bars.iter("title")] == ["a: 1 row", HOSTILE]


def test_a_column_without_values_has_no_histogram() -> None:
    facts = {"type": "float", "missing": 1.0, "distinct": 0, "min": None, "mean": None, "max": None, "histogram": []}
    (row,) = column_rows({"wind": facts})
    assert (row.missing, row.distinct, row.low, row.histogram) == ("100.0%", "0", "", "")


def test_a_page_escapes_text_and_keeps_charts(tmp_path: Path) -> None:
    (tmp_path / "one.html.j2").write_text(
        '{% extends "base.html.j2" %}{% block body %}{{ text }}{{ chart }}{% endblock %}'
    )
    page = render(tmp_path, "one.html.j2", text=HOSTILE, chart=charts.bars([1], "one"))
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<svg" in page


def test_a_value_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.html.j2").write_text("{{ absent }}")
    with pytest.raises(jinja2.UndefinedError, match="absent"):
        render(tmp_path, "one.html.j2")

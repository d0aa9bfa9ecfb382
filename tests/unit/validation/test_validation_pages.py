"""What people read: the report, its plots, the model card."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from loopline.components.contract.evaluation import Comparison, Evaluation, Slice, read
from loopline.components.errors import LooplineError
from loopline.components.pages import evaluation_charts as charts
from loopline.components.validation.card import write_card
from loopline.components.validation.evaluate import evaluate
from loopline.components.validation.gates import check_gates
from loopline.components.validation.report import write_report


@pytest.fixture
def judged(world):
    """Paths of a model, its evaluation, footprint and verdict."""

    def _judged(usecase, task="binary_classification", **weights):
        out = world.path("judged")
        model, paths = (
            world.model(task=task, **weights),
            (out / "evaluation", out / "footprint.json", out / "verdict.json"),
        )
        evaluate(usecase, model, world.examples(task=task), *paths[:2])
        check_gates(usecase, *paths)
        return (model, *paths)

    return _judged


class Outline(HTMLParser):
    """Headings of a page, whatever it fetches, and elements left open."""

    VOID = frozenset({"meta", "br", "img", "link"})

    def __init__(self, page):
        super().__init__()
        self.headings, self.fetched, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for key, value in attributes if key in ("src", "href") and not value.startswith("#")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data)


def report(world, usecase, judged, **choices):
    _, evaluation, footprint, _ = judged(usecase, **choices)
    out = world.path("report")
    write_report(usecase, evaluation, footprint, out)
    return out.read_text(encoding="utf-8")


def test_the_report_stands_alone_and_is_well_formed(world, judged):
    page = report(world, world.usecase(description="<script>alert(1)</script> & more?"), judged)
    outline = Outline(page)
    assert outline.open == []
    assert outline.fetched == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more?" in page
    assert "<script" not in page
    # Every id is referred to: figures and axes, of the same name in each plot, have lost theirs.
    assert all(f"#{found}" in page for found in re.findall(r' id="([^"]+)"', page))
    assert "$" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert outline.headings == [
        "Curves", "ROC", "Precision and recall", "Calibration", "Scores", "Slices", "colour", "shop",
        "Robustness", "By month", "AUC", "Categories not seen in training", "Footprint",
    ]  # fmt: skip


def test_equal_evaluations_give_equal_pages(world, judged):
    usecase = world.usecase()
    _, evaluation, footprint, _ = judged(usecase)
    pages = [world.path("report") for _ in range(2)]
    for page in pages:
        write_report(usecase, evaluation, footprint, page)
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_report_of_a_regression_has_errors_and_no_roc(world, judged, regression):
    headings = Outline(report(world, world.usecase(**regression), judged, task="regression")).headings
    assert headings[:3] == ["Curves", "Calibration", "Errors"]


def test_plots_are_inline_svg_with_a_description_and_a_line_per_model(world, judged):
    usecase = world.usecase()
    models = {name: read(Evaluation, judged(usecase, wind=wind)[1]) for name, wind in (("old", 2.0), ("new", 0.0))}
    for svg in (
        charts.roc(models),
        charts.precision_recall(models),
        charts.calibration(models),
        charts.months(models, "auc"),
    ):
        drawing = ET.fromstring(svg)
        assert (drawing.get("role"), drawing.get("width")) == ("img", None)
        assert drawing.get("aria-label")
        texts = [text.strip() for text in drawing.itertext() if text.strip()]
        assert any(text.startswith("old") for text in texts)
        assert any(text.startswith("new") for text in texts)
        assert re.search(r'class="line( thin)? s0"', svg)
        assert re.search(r'class="line( thin)? s1"', svg)
        assert not re.search(r"\b20\d\d-\d\d-\d\dT", svg)  # no date of drawing


def test_any_text_can_be_the_value_of_a_slice():
    values = ["$5 to $10", "<b> & co", "a name that goes on and on and on and on and on", "日本", ""]
    parts = [Slice(column="c", value=v, rows=10, judged=True, metrics={"auc": 0.5}) for v in values]
    texts = "".join(ET.fromstring(charts.slices("c", parts, "auc", 0.6)).itertext())
    assert "$5 to $10" in texts
    assert "<b> & co" in texts
    assert "a name that goes on…" in texts


def test_the_gain_is_drawn_with_its_interval():
    comparison = Comparison(
        champion="sha256:a", challenger="sha256:b", metric="auc", rows=9, champion_value=0.7, challenger_value=0.72,
        gain=0.02, low=0.01, high=0.03, confidence=0.95, resamples=100, better=True, reason="",
    )  # fmt: skip
    assert "+0.0200, interval +0.0100 to +0.0300" in charts.interval(comparison)


def test_the_card_has_the_templates_sections_and_real_numbers(world, judged):
    usecase = world.usecase()
    model, evaluation, footprint, verdict = judged(usecase)
    out = world.path("card")
    write_card(usecase, model, evaluation, footprint, verdict, out)
    text = out.read_text(encoding="utf-8")
    assert re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE) == [
        "Model Card: tiny", "Model Details", "Intended Use", "Training Data",
        "Evaluation", "Ethical Considerations", "Maintenance",
    ]  # fmt: skip
    found = read(Evaluation, evaluation)
    assert found.model in text
    assert f"| all rows | {found.metrics['auc']:.3f} |" in text
    assert "Is this thing lit?" in text
    assert "the only gate passed" in text
    assert "- Bias evaluation by colour: AUC from" in text
    assert "- categories.colour: red, green" in text
    assert f"- Owner: _not stated; write `- Owner: ...` in {usecase}/card.md_" in text


def test_what_the_use_case_states_is_in_the_card(world, judged):
    usecase = world.usecase()
    paths = judged(usecase)
    (world.root / usecase / "card.md").write_text("Anything else is a comment.\n- Users:\n- Owner: The lamp team\n")
    write_card(usecase, *paths, world.root / "card")
    text = (world.root / "card").read_text()
    assert "- Owner: The lamp team\n" in text
    assert "- Users: _not stated" in text
    (world.root / usecase / "card.md").write_text("- Ownr: The lamp team\n")
    with pytest.raises(LooplineError, match=r"card\.md states 'Ownr'.*items of a card are Developer, .*Owner"):
        write_card(usecase, *paths, world.root / "card")


def test_a_card_is_about_one_model(world, judged):
    usecase = world.usecase()
    one, other = judged(usecase), judged(usecase, wind=1.0)
    with pytest.raises(LooplineError, match=r"the verdict is of model .*: a card is about one model"):
        write_card(usecase, *one[:3], other[3], world.root / "card")

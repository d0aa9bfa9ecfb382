import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from fabricated_loop import FabricatedLoop
from kfp import dsl

from loopline.components.contract.step import StepFacts
from loopline.local.records import Output, StepRecord
from loopline.report import write_report

MakeLoop = Callable[..., FabricatedLoop]
HOSTILE = """<script>alert(1)</script>'"><img src=x onerror=alert(2)>{{ 7777 * 3 }}"""
# Elements that never have an end tag.
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """What a page holds: tags with attributes, text, and whether every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str]:
        return [attributes["id"] for attributes in self.all("section")]


def page_of(loop: FabricatedLoop, folder: Path) -> Page:
    return Page(write_report(folder, loop.runs, loop.models, loop.spec, 93.4).read_text(encoding="utf-8"))


@pytest.fixture
def page(make_loop: MakeLoop, tmp_path: Path) -> Page:
    return page_of(make_loop(), tmp_path)


def test_says_what_happened_first(page: Page) -> None:
    assert "Retraining paid: version 2 is the new champion" in page.text
    assert "Trained on 2 examples of January to April 2013." in page.text
    assert "Version 1 predicted 28,231 of 28,243 flights of June 2013; 12 went to quarantine." in page.text
    assert "Version 2 reached AUC 0.751 against 0.741 for version 1 on the same 28,128 rows" in page.text


def test_has_every_section_once_and_the_contents_lead_to_them(page: Page) -> None:
    assert page.sections == [
        "outcome",
        "runs",
        "data",
        "models",
        "quality",
        "slices",
        "robustness",
        "gates",
        "comparison",
        "batch",
        "skew",
        "card",
        "lineage",
    ]
    assert [a["href"] for a in page.all("a")] == [f"#{section}" for section in page.sections]


def test_needs_nothing_but_itself(page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}
    for tag, attributes in page.tags:
        assert not set(attributes) & {"src", "srcset", "action", "style", "background", "xlink:href"}, tag
        assert not any(name.startswith("on") for name in attributes), tag
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_ids_are_unique_and_titles_exist(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert ids
    assert set(ids.values()) == {1}
    assert all(attributes["aria-labelledby"] in ids for attributes in page.all("section"))


def test_can_be_heard(page: Page) -> None:
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    from_markdown = 1
    assert len(page.all("caption")) == len(page.all("table")) - from_markdown
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("text", [HOSTILE, "]]><!-- --></style></svg>", "| a | `b` ](javascript:alert(1))"])
def test_text_from_data_stays_text(make_loop: MakeLoop, tmp_path: Path, text: str) -> None:
    loop = make_loop(text=text)
    for run in loop.runs:
        run.parameters["start"] = text
        for step in run.steps:
            step.why = text
    loop.models[0]["lineage"]["code"] = text
    clean = page_of(make_loop(), tmp_path / "clean")
    hostile = page_of(loop, tmp_path / "hostile")
    assert text in hostile.text
    assert {tag for tag, _ in hostile.tags} == {tag for tag, _ in clean.tags}
    assert {name for _, attributes in hostile.tags for name in attributes} == {
        name for _, attributes in clean.tags for name in attributes
    }
    assert "23331" not in hostile.text


def test_markdown_of_steps_fetches_nothing(page: Page) -> None:
    assert "<b>bold</b>" in page.text
    assert not page.all("b")
    assert not page.all("img")


def test_a_regression_has_calibration_by_decile_and_no_roc(make_loop: MakeLoop, tmp_path: Path) -> None:
    page = page_of(make_loop("regression"), tmp_path)
    assert "Calibration by decile of the prediction" in page.text
    assert "RMSE of the champion" in page.text
    assert "Mean predicted" in page.text
    assert "ROC" not in page.text
    assert page.sections[:5] == ["outcome", "runs", "data", "models", "quality"]


def test_champion_and_challenger_share_the_plots_of_the_month_that_both_saw(page: Page) -> None:
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert "ROC curve of version 1, champion and version 2, challenger" in labels
    assert "ROC curve of version 1" in labels


def test_a_champion_that_stays_says_so(make_loop: MakeLoop, tmp_path: Path) -> None:
    page = page_of(make_loop(better=False), tmp_path)
    assert "Version 1 stays champion" in page.text
    assert "not clearly better" in page.text
    assert "– skipped" in page.text


def test_a_failed_run_leads_with_the_step_and_its_sentence(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    loop.runs, loop.models = loop.runs[:1], []
    run = loop.runs[0]
    sentence = "table flights is stale: its newest row is of 2013-04-29"
    run.state, run.error = "failed", f"training-examples/validate-data: {sentence}"
    for step in run.steps:
        step.state, step.outputs, step.values, step.why = "waiting", {}, {}, "an earlier step failed"
    run.step("training-examples/ingest").state = "succeeded"
    broken = run.step("training-examples/validate-data")
    broken.state, broken.why = "failed", sentence
    page = page_of(loop, tmp_path)
    assert "The loop stopped in training" in page.text
    assert f"Step training-examples/validate-data of training failed: {sentence}." in page.text
    assert page.text.count(f"{sentence}.") == 1
    assert page.sections == ["outcome", "runs", "lineage"]


def test_gates_that_failed_are_the_headline_where_there_is_no_retraining(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    loop.runs = loop.runs[:2]
    verdict = Path(loop.runs[1].step("check-gates").outputs["verdict"].uri)
    verdict.write_text(verdict.read_text().replace('"passed":true,"reason"', '"passed":false,"reason"'))
    loop.models = [{**loop.models[0], "aliases": ["candidate"]}]
    page = page_of(loop, tmp_path)
    assert "Version 1 did not pass its gates" in page.text
    assert "Version 1: all 4 gates passed." in page.text
    assert "AUC of the candidate" in page.text


def test_an_empty_registry_names_models_by_their_digest(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    loop.models = []
    page = page_of(loop, tmp_path)
    assert "models" not in page.sections
    assert "Model 1a1a1a1a1a1a reached AUC" in page.text


def test_lost_and_damaged_artifacts_are_named_and_the_rest_is_shown(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    training, retrain = loop.runs[0], loop.runs[-1]
    training.step("evaluate").outputs["evaluation"] = Output(kind="Artifact", uri="/nowhere", digest="")
    Path(retrain.step("compare").outputs["comparison"].uri).write_text("{")
    page = page_of(loop, tmp_path)
    assert "evaluations of training / evaluate: there is no evaluation at" in page.text
    assert "comparisons of retrain / compare:" in page.text
    assert "quality" in page.sections
    assert "comparison" not in page.sections


@StepFacts(effects="none", shows={"findings": "note"})
@dsl.component(base_image="loopline-validation", install_kfp_package=False)
def check_fairness(findings: dsl.Output[dsl.Markdown]) -> None:
    """Stand for a step that somebody adds."""


def test_a_new_step_shows_a_note_without_an_edit_of_the_report(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    note = tmp_path / "findings.md"
    note.write_text("# Fairness\n\nNo carrier is at a disadvantage.\n")
    loop.runs[1].steps.append(
        StepRecord(
            name="check-fairness",
            task="check-fairness",
            stage="validation",
            component="check_fairness",
            state="succeeded",
            outputs={"findings": Output(kind="system.Markdown", uri=str(note), digest="")},
        )
    )
    page = page_of(loop, tmp_path)
    assert "notes" in page.sections
    assert "validation / check-fairness" in page.text
    assert "No carrier is at a disadvantage." in page.text


def test_lineage_shows_digests_by_their_first_digits_and_whole_in_the_title(page: Page) -> None:
    titles = [code["title"] for code in page.all("code") if "title" in code]
    assert "sha256:" + "4d" * 32 in titles
    assert "weather 6f6f6f6f6f6f" in page.text
    assert "6f" * 32 not in page.text


def test_cached_steps_are_shown_as_such(page: Page) -> None:
    assert page.text.count("↻ cached") == 7
    assert "same code, lock, parameters and inputs as in run" in page.text

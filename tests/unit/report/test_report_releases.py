"""The section about releases, and the same in summary.json."""

import json

import pytest

from loopline.components.deployment.release import transitions
from loopline.demo.step import DemoStep
from loopline.report import write_report
from loopline.report.release_section import shown
from tests.canary_traffic import BAD, CANARY, GOOD
from tests.unit.deployment.simulated_world import SPEC, World


@pytest.fixture(scope="module")
def demo_steps():
    """A release that was promoted, and one that was rolled back."""
    made = []
    for name, behaviour in (("newer data", GOOD), ("miscalibrated <b>", BAD["miscalibrated by 0.1"])):
        controller = World(canary=behaviour).controller()
        controller.begin(CANARY)
        made.append(DemoStep(canary=name, record=controller.reconcile(), answered=1_234, failed=0))
    return made


def test_summary_has_each_step_with_its_numbers(demo_steps, tmp_path):
    write_report(tmp_path, [], [], SPEC, 1.0, demo_steps)
    good, bad = json.loads((tmp_path / "summary.json").read_text())["releases"]
    assert (good["outcome"], bad["outcome"]) == ("promoted", "rolled back")
    assert [step["percent"] for step in good["steps"]] == [20, 50]
    assert {step["outcome"] for step in good["steps"]} == {"advance"}
    assert bad["steps"][-1]["outcome"] == "roll back"
    assert bad["reason"] == bad["steps"][-1]["reason"]
    assert {check["name"] for check in bad["steps"][-1]["checks"]} == {"errors", "latency", "scores", "quality"}
    assert good["seconds"] > 0
    assert good["steps"][0]["canary_requests"] >= 200
    assert (good["requests_answered"], good["requests_failed"]) == (1_234, 0)


def test_page_tells_both(demo_steps, tmp_path):
    page = write_report(tmp_path, [], [], SPEC, 1.0, demo_steps).read_text()
    assert 'id="releases"' in page
    assert "✓ promoted" in page
    assert "✕ rolled back" in page
    assert "miscalibrated &lt;b&gt;" in page
    assert page.count("Traffic of the canary over time") == 2
    assert page.count("1,234 requests were answered, and none failed") == 2
    limit = demo_steps[0].record.baseline.latency.limit
    assert f"Slower than {1000 * limit:.3g} ms" in page
    assert "Mean log loss" in page
    assert page.count("✓ passed") == 2
    bad = demo_steps[1].record.events[-2].decision
    assert f"{bad.canary_requests:,} requests of the canary, {bad.stable_requests:,} of the stable version" in page


def test_page_of_what_was_stopped_before_anything_was_seen(demo_steps, tmp_path):
    cut = demo_steps[0].record.model_copy(update={"events": demo_steps[0].record.events[:1]})
    stopped = transitions.stopped(cut, "there was no more traffic", "loopline loop", cut.began)
    demo_step = demo_steps[0].model_copy(update={"record": stopped, "answered": 1, "failed": 2})
    page = write_report(tmp_path, [], [], SPEC, 1.0, [demo_step]).read_text()
    assert "There was no more traffic." in page
    assert "1 request was answered, and 2 failed" in page


def test_no_release_no_section(tmp_path):
    page = write_report(tmp_path, [], [], SPEC, 1.0).read_text()
    assert 'id="releases"' not in page
    assert json.loads((tmp_path / "summary.json").read_text())["releases"] == []


def test_the_plot_goes_up_to_all_or_down_to_nothing(demo_steps):
    heights = [
        str(shown(demo_step).traffic).rpartition("L")[2].partition('"')[0].split(",")[1] for demo_step in demo_steps
    ]
    assert float(heights[0]) < float(heights[1]), "SVG counts from the top"

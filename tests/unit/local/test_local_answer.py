"""What a step decided, and why, from its outputs."""

import json

import pytest

from loopline.local.answer import read_answer
from loopline.local.records import Output, StepRecord


def answered(tmp_path, stage, component, answer, output, text):
    file = tmp_path / output
    if text is not None:
        file.write_text(text)
    made = {output: Output(kind="system.Artifact", uri=str(file), digest="")}
    return read_answer(
        StepRecord(name="s", task="s", stage=stage, component=component, outputs=made, values={"Output": answer})
    )


@pytest.mark.parametrize(("answer", "refused"), [("pass", False), ("fail", True)])
def test_a_verdict_is_a_refusal_with_the_reason_of_its_json(tmp_path, answer, refused):
    text = json.dumps({"reason": "1 of 3 gates failed: auc"})
    assert answered(tmp_path, "validation", "check_gates", answer, "verdict", text) == (
        refused,
        "1 of 3 gates failed: auc",
    )


def test_a_kept_champion_is_a_refusal(tmp_path):
    text = json.dumps({"reason": "version 3 became champion since"})
    assert answered(tmp_path, "registry", "promote", "kept", "receipt", text) == (
        True,
        "version 3 became champion since",
    )


def test_the_reason_in_markdown_is_its_first_paragraph(tmp_path):
    text = "## Step 1, 5%: roll back\n\nMore requests fail\nthan allowed. (9 requests)\n\n| Check |\n"
    assert answered(tmp_path, "deployment", "analyse", "roll back", "decision", text) == (
        True,
        "More requests fail than allowed. (9 requests)",
    )


@pytest.mark.parametrize("text", ["null", "{", "[]", "{}", None])
def test_a_reason_that_cannot_be_read_is_empty(tmp_path, text):
    refused, reason = answered(tmp_path, "validation", "compare", "not_better", "comparison", text)
    assert (refused, reason) == (True, "")


def test_a_step_that_decides_nothing(tmp_path):
    assert answered(tmp_path, "data", "ingest", None, "raw", "") == (False, "")

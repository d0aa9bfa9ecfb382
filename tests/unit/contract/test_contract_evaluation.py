"""The documents about a model come back as they were written."""

from pathlib import Path

import pytest

from loopline.components.contract import evaluation
from loopline.components.contract.evaluation import Footprint, GateResult, Verdict
from loopline.components.errors import LooplineError

VERDICT = Verdict(
    model="sha256:1",
    passed=False,
    reason="auc is too low",
    gates=[GateResult(gate={"metric": "auc", "min": 0.7}, value=0.6, passed=False, sentence="auc is 0.6")],
)


def test_a_document_comes_back_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text(VERDICT.model_dump_json())
    assert evaluation.read(Verdict, tmp_path / "verdict") == VERDICT


def test_a_document_comes_back_from_its_folder(tmp_path: Path) -> None:
    footprint = Footprint(model="sha256:1", metrics={"rows_per_second": float("inf")})
    (tmp_path / evaluation.FILE).write_text(footprint.model_dump_json())
    assert evaluation.read(Footprint, tmp_path) == footprint


def test_a_missing_document_and_a_wrong_one_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match="there is no verdict at"):
        evaluation.read(Verdict, tmp_path / "verdict")
    (tmp_path / "verdict").write_text(Footprint(model="m", metrics={}).model_dump_json())
    with pytest.raises(LooplineError, match=r"verdict is not a valid verdict: \d+ validation errors for Verdict"):
        evaluation.read(Verdict, tmp_path / "verdict")
    (tmp_path / "verdict").write_text("{")
    with pytest.raises(LooplineError, match="is not a valid verdict"):
        evaluation.read(Verdict, tmp_path / "verdict")

"""The steps as KFP calls them: artifacts in, artifacts with their digests out."""

import json
from pathlib import Path

from feature_cases import FLIGHTS, Flights
from kfp import dsl

from loopline.components.contract.dataset import Dataset
from loopline.components.features import component


def test_the_four_steps_hand_on_to_each_other(flights: Flights, tmp_path: Path) -> None:
    start, end, store = "2013-02-09", "2013-02-11", str(tmp_path / "store")
    data = dsl.Dataset(uri=str(flights.data))
    history, examples = (dsl.Dataset(uri=str(tmp_path / name)) for name in ("history", "examples"))
    receipt, report = dsl.Artifact(uri=str(tmp_path / "receipt")), dsl.Markdown(uri=str(tmp_path / "report"))
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))

    component.build_features.python_func(FLIGHTS, data, history)
    component.join_features.python_func(FLIGHTS, start, end, data, history, examples)
    component.materialise.python_func(FLIGHTS, end, store, history, receipt)
    component.check_skew.python_func(FLIGHTS, end, store, data, history, receipt, report, metrics)

    assert history.metadata["digest"] == flights.history.digest
    assert history.metadata["rows"]["plane"] == 3322
    made = Dataset.open(examples.path)
    assert examples.metadata == {
        "digest": made.digest,
        "rows": made.rows("examples"),
        "labelled": made.facts["labelled"],
    }
    assert receipt.metadata["rows"]["plane"] == 3322
    assert json.loads(Path(receipt.path).read_text())["views"]["plane"]["rows"] == 3322
    assert report.metadata == {"receipt": receipt.metadata["digest"]}
    assert "all equal" in Path(report.path).read_text()
    assert metrics.metadata["values"] > 1000

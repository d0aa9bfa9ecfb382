"""The KFP components run as KFP runs them: artifacts in, artifacts and metrics out."""

from datetime import timedelta
from pathlib import Path

from kfp import dsl
from tram_examples import FIRST, Inputs, moments, trips

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.inference import component
from loopline.components.io.digest import of_file


def test_predict_and_publish(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    rows = trips([0.5, None, 0.25], moments(FIRST, 3, timedelta(hours=1)))
    paths = inputs(rows)
    predictions = dsl.Dataset(uri=str(paths["predictions_path"]))
    metrics = dsl.Metrics()
    component.predict.python_func(
        usecase=usecase,
        model=dsl.Model(uri=str(echo.path)),
        version="7",
        engine="local",
        examples=dsl.Dataset(uri=str(paths["examples_path"])),
        quarantine=dsl.Dataset(uri=str(paths["quarantine_path"])),
        predictions=predictions,
        metrics=metrics,
    )
    counts = {"rows_in": 3, "rows_out": 2, "rows_quarantined": 1}
    assert metrics.metadata.items() > counts.items()
    assert metrics.metadata["rows_per_second"] > 0
    assert predictions.metadata == {"digest": Dataset.open(predictions.path).digest, **counts}

    receipt = dsl.Artifact(uri=str(tmp_path / "receipt"))
    component.publish.python_func(
        usecase=usecase,
        start="2024-03-20",
        end="2024-03-30",
        destination=str(tmp_path / "published"),
        predictions=predictions,
        receipt=receipt,
    )
    assert receipt.metadata == {"digest": of_file(tmp_path / "receipt"), "rows": 2}
    assert (tmp_path / "published/current/date=2024-03-20/part-0.parquet").is_file()

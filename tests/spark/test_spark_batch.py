"""Batch prediction on real Spark: what the local engine predicts, to the byte, from a disk and from an object store."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from loopline.components.contract import dataset, examples
from loopline.components.contract import model as models
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.inference.predict import columns_to_read, predict
from loopline.components.inference.publish import publish
from loopline.components.inference.scoring import score_function
from loopline.components.inference.spark_job import predict_on
from loopline.components.io import storage
from tests.spark.weather_window import USECASE, Window, make

ROWS_PER_TASK = 700


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Window:
    return make(tmp_path_factory.mktemp("window"), rows=5000)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where inputs and predictions lie; workers are told of the store as the pods of executors are."""
    if request.param == "disk":
        return str(tmp_path / "store")
    bucket = request.getfixturevalue("bucket")
    for name, value in os.environ.items():
        if name.startswith("AWS_"):
            monkeypatch.setitem(spark.sparkContext.environment, name, value)
    return f"{bucket}/store"


def put(place: str, window: Window) -> dict[str, str]:
    """The inputs where all nodes can read them."""
    inputs = {"model": window.model, "examples": window.examples, "quarantine": window.quarantine}
    for name, path in inputs.items():
        storage.put(path, f"{place}/{name}")
    return {f"{name}_uri": f"{place}/{name}" for name in inputs}


def test_spark_predicts_what_the_local_engine_does(spark: Any, window: Window, place: str, tmp_path: Path) -> None:
    predict(USECASE, window.model, "7", window.examples, window.quarantine, tmp_path / "local")
    local = Dataset.open(tmp_path / "local")
    made = predict_on(
        spark,
        USECASE,
        version="7",
        output_uri=f"{place}/predictions",
        rows_per_task=ROWS_PER_TASK,
        **put(place, window),
    )
    on_spark = Dataset.open(storage.fetch(f"{place}/predictions", tmp_path / "spark", manifest=dataset.MANIFEST))
    assert local.rows("predictions") > 2 * ROWS_PER_TASK
    for name in ("predictions", "quarantine"):  # row by row, before the digest says the same of every byte
        assert on_spark.read(name).to_pylist() == local.read(name).to_pylist()
    assert Counter(on_spark.read("quarantine")["reason"].to_pylist())["the model's score is not a finite number"] == 3
    assert {n: on_spark.facts[n] for n in ("rows_in", "rows_out", "rows_quarantined")} == {
        n: local.facts[n] for n in ("rows_in", "rows_out", "rows_quarantined")
    }
    assert made == on_spark.digest == local.digest
    assert storage.names(f"{place}/predictions.parts") == []
    receipt = publish(USECASE, *window.dates, tmp_path / "published", on_spark.path, tmp_path / "receipt.json")
    assert receipt["rows"] == local.rows("predictions")


def test_the_scoring_function_itself_maps_a_dataframe(spark: Any, window: Window) -> None:
    """Who has rows in Spark already maps the very function over them."""
    spec = load(USECASE).spec
    model = Model.open(window.model)
    rows = Dataset.open(window.examples).read(examples.TABLE, columns_to_read(model, spec))
    identity = examples.identity_columns(spec)
    expected = pa.Table.from_batches(score_function(window.model, "7", identity)(rows.to_batches()))
    frame = spark.createDataFrame(rows).repartition(3)
    times = "read_at timestamp, feature_time timestamp"
    schema = f"station string, {times}, prediction float, model_version string, reason string"
    scored = frame.mapInArrow(score_function(window.model, "7", identity), schema).toArrow()
    order = [(name, "ascending") for name in identity]
    same = [*identity, "prediction", "model_version", "reason"]
    assert scored.sort_by(order).select(same).to_pylist() == expected.sort_by(order).select(same).to_pylist()


def test_an_empty_window(spark: Any, window: Window, tmp_path: Path) -> None:
    given = Dataset.open(window.examples)
    dataset.write(tmp_path / "none", {examples.TABLE: given.read(examples.TABLE).slice(0, 0)}, given.facts)
    window = Window(window.model, tmp_path / "none", window.quarantine, window.dates)
    predict(USECASE, window.model, "7", window.examples, window.quarantine, tmp_path / "local")
    place = str(tmp_path / "store")
    made = predict_on(spark, USECASE, version="7", output_uri=f"{place}/predictions", **put(place, window))
    assert made == Dataset.open(tmp_path / "local").digest


def test_a_task_that_fails_is_its_sentence_and_leaves_no_predictions(
    spark: Any, window: Window, tmp_path: Path
) -> None:
    """The graph is no ONNX any more: each task finds out by itself."""
    place = str(tmp_path / "store")
    broken = tmp_path / "broken"
    shutil.copytree(window.model, broken)
    packaged = Model.open(broken)
    packaged.onnx.write_bytes(b"no graph")
    (broken / models.MANIFEST).unlink()
    models.seal(broken, packaged.name, packaged.signature, packaged.facts)
    window = Window(broken, window.examples, window.quarantine, window.dates)
    with pytest.raises(LooplineError, match=r"model.onnx cannot be loaded: .*") as error:
        predict_on(spark, USECASE, version="7", output_uri=f"{place}/predictions", **put(place, window))
    assert "Traceback" not in str(error.value)
    assert storage.names(f"{place}/predictions") == []


def test_damaged_examples_are_found_before_a_task_starts(spark: Any, window: Window, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    inputs = put(place, window)
    file = Path(place) / "examples" / "examples.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match="does not have the digest it was written with"):
        predict_on(spark, USECASE, version="7", output_uri=f"{place}/predictions", **inputs)
    assert not (Path(place) / "predictions.parts").exists()


def test_scores_are_floats_of_the_same_bits(spark: Any, window: Window, tmp_path: Path) -> None:
    predict(USECASE, window.model, "7", window.examples, window.quarantine, tmp_path / "local")
    place = str(tmp_path / "store")
    predict_on(spark, USECASE, version="7", output_uri=f"{place}/p", rows_per_task=ROWS_PER_TASK, **put(place, window))
    bits = [
        Dataset.open(path).read("predictions")["prediction"].to_numpy().view(np.uint32)
        for path in (tmp_path / "local", Path(place) / "p")
    ]
    assert (bits[0] == bits[1]).all()

"""The program that the SparkApplication starts, started as Spark starts it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.inference.predict import predict
from loopline.components.inference.spark_application import ARGUMENTS, failure_uri
from loopline.components.io import storage
from tests.spark.session import PROJECT, PYSPARK, lacking
from tests.spark.weather_window import USECASE, make

ENTRY = PROJECT / "components" / "inference" / "__main__.py"


def start(**values: Any) -> subprocess.CompletedProcess[str]:
    given = [text for name in ARGUMENTS for text in (f"--{name}", str(values[name]))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(PROJECT), str(PYSPARK)]),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [sys.executable, str(ENTRY), *given]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_it_predicts_or_leaves_the_reason_beside_the_output(bucket: str, tmp_path: Path) -> None:
    window = make(tmp_path / "window", rows=300)
    inputs = {"model": window.model, "examples": window.examples, "quarantine": window.quarantine}
    uris = {name: f"{bucket}/{name}" for name in inputs}
    for name, path in inputs.items():
        storage.put(path, uris[name])
    output = f"{bucket}/spark/batch-1"
    done = start(usecase=USECASE, version="7", output=output, **uris)
    assert done.returncode == 0, done.stderr
    predict(USECASE, window.model, "7", window.examples, window.quarantine, tmp_path / "local")
    made = Dataset.open(storage.fetch(output, tmp_path / "made", manifest=dataset.MANIFEST))
    assert made.digest == Dataset.open(tmp_path / "local").digest

    storage.remove(uris["model"])
    failed = start(usecase=USECASE, version="7", output=f"{bucket}/spark/batch-2", **uris)
    assert failed.returncode == 1
    left = storage.fetch(failure_uri(f"{bucket}/spark/batch-2"), tmp_path / "left").read_text()
    assert left == f"there is nothing at {uris['model']}; check the address, or let the step that writes it run first"
    assert f"error: {left}" in failed.stderr

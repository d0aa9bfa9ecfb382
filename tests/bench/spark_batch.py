"""Batch inference on Spark, local[2], against the local engine on the same rows."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loopline.components.contract.dataset import Dataset
from loopline.components.inference.predict import predict
from loopline.components.inference.spark_job import predict_on
from tests.spark.session import lacking, start
from tests.spark.weather_window import USECASE, make

ROWS = 2_000_000
REPEATS = 3
VERSION = "1"


def measure() -> list[dict[str, Any]]:
    """Rows per second of both, in turn; nothing, and the reason printed, where Spark cannot run."""
    if reason := lacking():
        print(f"spark_batch is left out. {reason}")
        return []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        window = make(folder, ROWS)
        session = start()
        try:

            def on_spark() -> None:
                inputs = (str(window.model), VERSION, str(window.examples), str(window.quarantine))
                predict_on(session, USECASE, *inputs, str(folder / "on-spark"))

            def here() -> None:
                predict(USECASE, window.model, VERSION, window.examples, window.quarantine, folder / "here")

            on_spark()  # the first job starts the workers and imports their libraries
            times = [(_seconds(on_spark), _seconds(here)) for _ in range(REPEATS)]
        finally:
            session.stop()
        assert Dataset.open(folder / "on-spark").digest == Dataset.open(folder / "here").digest
    spark, local = (ROWS / statistics.median(of_one) for of_one in zip(*times, strict=True))
    return [
        {
            "name": "batch on Spark, local[2]",
            "value": spark,
            "unit": "rows/s",
            "peer": f"the local engine, {local:,.0f} rows/s",
            "ratio": spark / local,
        }
    ]


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

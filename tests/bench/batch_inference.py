"""Batch inference against the loop that one would write by hand, and its memory as rows grow."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from loopline.components.contract import dataset, model
from loopline.components.contract.examples import FEATURE_TIME, TABLE, TIMESTAMP, Feature, facts
from loopline.components.contract.signature import Signature
from loopline.components.inference.predict import BATCH_ROWS, predict
from tests.graph_inputs import inputs_of

USECASE = "loopline.usecases.flights"
IDENTITY = ["carrier", "flight", "origin", "sched_dep"]
CATEGORIES = {
    "carrier": [f"C{i}" for i in range(16)],
    "origin": ["EWR", "JFK", "LGA"],
    "dest": [f"D{i:02}" for i in range(105)],
}
NUMBERS = [f"number_{i}" for i in range(27)]
FEATURES = [*(Feature(name, "category") for name in CATEGORIES), *(Feature(name, "number") for name in NUMBERS)]
VERSION = "1"
SMALL, LARGE = 100_000, 1_000_000
REPEATS = 3

PREDICT_AND_TELL_PEAK = """
import sys
from loopline.components.inference.predict import predict
predict(*sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def measure() -> list[dict[str, Any]]:
    """Rows per second against the bare loop, interleaved on the same file; peak memory at 100k rows and at 1M."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        packaged = _package(folder / "model")
        _write_examples(folder / "small", SMALL)
        _write_examples(folder / "large", LARGE)
        dataset.write(folder / "quarantine", {"flights": pa.table({"carrier": ["C1"], "reason": ["odd"]})}, {})

        def arguments(size: str) -> list[str]:
            names = [f"{folder}/model", VERSION, f"{folder}/{size}", f"{folder}/quarantine", f"{folder}/predictions"]
            return [USECASE, *names]

        ours, bare = _interleaved(
            lambda: predict(*arguments("large")),
            lambda: _bare_loop(packaged.onnx, folder / "large" / f"{TABLE}.parquet", folder / "bare.parquet"),
        )
        _expect_equal(folder / "predictions" / "predictions.parquet", folder / "bare.parquet")
        small, large = _interleaved_peaks(arguments("small"), arguments("large"))
    return [
        _result(
            "batch inference, 1M rows", LARGE / ours, "rows/s", LARGE / bare, f"bare loop: {LARGE / bare:,.0f} rows/s"
        ),
        _result("batch inference, peak memory at 1M rows", large, "MiB", small, f"100k rows: {small:,.0f} MiB"),
    ]


def _result(name: str, value: float, unit: str, peer: float, peer_name: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": peer_name, "ratio": value / peer}


def _bare_loop(graph: Path, source: Path, target: Path) -> None:
    """Read, run and write, batch by batch, as one would without Loopline."""
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    columns = list(dict.fromkeys([*IDENTITY, FEATURE_TIME, *CATEGORIES, *NUMBERS]))
    writer = None
    for batch in pq.ParquetFile(source).iter_batches(BATCH_ROWS, columns=columns):
        texts = [batch[name].fill_null("").to_numpy(zero_copy_only=False) for name in CATEGORIES]
        numbers = [batch[name].cast(pa.float32()).to_numpy(zero_copy_only=False) for name in NUMBERS]
        tensors = {"categories": np.column_stack(texts), "numbers": np.column_stack(numbers)}
        (scores,) = session.run(["probability"], tensors)
        predictions = pa.table(
            {name: batch[name] for name in [*IDENTITY, FEATURE_TIME]}
            | {"probability": scores.ravel(), "model_version": pa.repeat(VERSION, len(batch))}
        )
        writer = writer or pq.ParquetWriter(target, predictions.schema, compression="zstd")
        writer.write_table(predictions)
    if writer:
        writer.close()


def _interleaved(*calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, after one round that is not counted."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS + 1):
        for call, taken in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken[1:]) for taken in seconds]


def _interleaved_peaks(*arguments: list[str]) -> list[float]:
    """Median peak resident memory of `predict` in a process of its own, in MiB, for each list of arguments."""
    peaks = [[_peak(each) for each in arguments] for _ in range(3)]
    return [statistics.median(of_one) for of_one in zip(*peaks, strict=True)]


def _peak(arguments: list[str]) -> float:
    command = [sys.executable, "-c", PREDICT_AND_TELL_PEAK, *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _expect_equal(ours: Path, bare: Path) -> None:
    ours_table, bare_table = pq.read_table(ours), pq.read_table(bare)
    identity = [*IDENTITY, FEATURE_TIME, "model_version"]
    if not ours_table.select(identity).equals(bare_table.select(identity)):
        raise AssertionError("the bare loop and Loopline wrote different rows")
    np.testing.assert_allclose(ours_table["probability"].to_numpy(), bare_table["probability"].to_numpy(), atol=1e-6)


def _write_examples(path: Path, rows: int) -> None:
    """Examples with 5 % of the numbers and 1 % of the categories missing, and some categories never seen."""
    random = np.random.default_rng(7)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, rows, dataset.ROW_GROUP):
            count = min(dataset.ROW_GROUP, rows - start)
            columns: dict[str, Any] = {}
            for name, known in CATEGORIES.items():
                values = np.array([*known, "unseen"], dtype=object)[random.integers(0, len(known) + 1, count)]
                columns[name] = pa.array(values, pa.string(), mask=random.random(count) < 0.01)
            columns["flight"] = pa.array(random.integers(1, 8000, count))
            moments = 1_370_000_000_000_000 + 2_500_000 * np.arange(start, start + count)
            columns["sched_dep"] = columns[FEATURE_TIME] = pa.array(moments).cast(TIMESTAMP)
            for name in NUMBERS:
                columns[name] = pa.array(random.normal(size=count).round(1), mask=random.random(count) < 0.05)
            yield pa.RecordBatch.from_pydict(columns)

    dataset.write(path, {TABLE: batches()}, {"window": ["2013-05-01", "2013-07-01"], **facts(FEATURES, {})})


def _package(folder: Path) -> model.Model:
    """A network like the one that is trained: embeddings, missing-value flags, two hidden layers of 128."""
    random = np.random.default_rng(7)
    weights: dict[str, npt.NDArray[Any]] = {"mean": np.zeros((1, len(NUMBERS)), np.float32)}
    nodes = [
        helper.make_node("Concat", NUMBERS, ["gathered"], axis=1),
        helper.make_node("IsNaN", ["gathered"], ["missing"]),
        helper.make_node("Where", ["missing", "mean", "gathered"], ["filled"]),
        helper.make_node("Cast", ["missing"], ["flags"], to=TensorProto.FLOAT),
    ]
    for name, known in CATEGORIES.items():
        encoder = {"keys_strings": known, "values_int64s": range(1, len(known) + 1), "default_int64": 0}
        weights[f"{name}_embedding"] = _normal(random, len(known) + 1, 8)
        nodes += [
            helper.make_node("LabelEncoder", [name], [f"{name}_id"], domain="ai.onnx.ml", **encoder),
            helper.make_node("Gather", [f"{name}_embedding", f"{name}_id"], [f"{name}_rows"]),
            helper.make_node("Flatten", [f"{name}_rows"], [f"{name}_vector"], axis=1),
        ]
    parts = ["filled", "flags", *(f"{name}_vector" for name in CATEGORIES)]
    nodes.append(helper.make_node("Concat", parts, ["layer_0"], axis=1))
    sizes = [2 * len(NUMBERS) + 8 * len(CATEGORIES), 128, 128, 1]
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        weights[f"weight_{i}"] = _normal(random, fan_in, fan_out) / np.float32(np.sqrt(fan_in))
        weights[f"bias_{i}"] = np.zeros(fan_out, np.float32)
        nodes.append(helper.make_node("Gemm", [f"layer_{i}", f"weight_{i}", f"bias_{i}"], [f"sum_{i}"]))
        last = fan_out == 1
        output = "probability" if last else f"layer_{i + 1}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"sum_{i}"], [output]))
    inputs, split = inputs_of(FEATURES)
    graph = helper.make_graph(
        [*split, *nodes],
        "flights",
        inputs,
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    file = folder / "repository" / "flights" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(file))
    return model.seal(folder, "flights", Signature.for_task("binary_classification", FEATURES), {})


def _normal(random: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return random.normal(size=shape).astype(np.float32)

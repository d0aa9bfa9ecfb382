"""The size of a model, and its speed on one core.

Only ONNX Runtime and protobuf are needed: the validation image holds no training framework.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from loopline.components.contract.evaluation import Footprint
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer

WARM_UP = 50
CALLS = 1_000
BATCH = 4_096
# A slow model is measured for this long, whatever the number of calls.
SECONDS = 1.0


def footprint(model: Model, rows: pa.Table) -> Footprint:
    """Measure a model on some rows, with one thread.

    ``model_bytes`` is what a server loads: the graph and any weights beside it. ``latency_*_ms`` is one call with the
    tensors of one row, after a warm-up; ``rows_per_second`` is Arrow batches in, scores out.
    """
    scorer = Scorer(model, threads=1)
    singles = [scorer.signature.tensors(rows.slice(row, 1)) for row in range(min(64, len(rows)))]
    _seconds(lambda call: scorer.run(singles[call % len(singles)]), WARM_UP)
    latency = 1e3 * np.array(_seconds(lambda call: scorer.run(singles[call % len(singles)]), CALLS))
    batch = rows.slice(0, BATCH).combine_chunks()
    scorer.score(batch)
    per_batch = float(np.median(_seconds(lambda _: scorer.score(batch), 20)))
    metrics = {
        "model_bytes": float(sum(file.stat().st_size for file in model.onnx.parent.rglob("*") if file.is_file())),
        "parameters": float(parameters(model.onnx)),
        "latency_p50_ms": float(np.percentile(latency, 50)),
        "latency_p99_ms": float(np.percentile(latency, 99)),
        "rows_per_second": len(batch) / per_batch,
    }
    return Footprint(model=model.digest, metrics=metrics)


def parameters(onnx: Path) -> int:
    """Count the numbers in the initialisers of an ONNX graph: weights, embeddings, scaling constants."""
    graph = _model_proto()()
    graph.ParseFromString(onnx.read_bytes())
    return sum(math.prod(tensor.dims) for tensor in graph.graph.initializer)


def _seconds(call: Callable[[int], object], times: int) -> list[float]:
    """Durations of the calls 0, 1, 2, ... until there are enough of them or `SECONDS` have passed."""
    durations: list[float] = []
    while len(durations) < times and sum(durations) < SECONDS:
        start = time.perf_counter()
        call(len(durations))
        durations.append(time.perf_counter() - start)
    return durations


@cache
def _model_proto() -> Any:
    """A message class that reads the part of an ONNX file needed here.

    Names and field numbers are those of onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="loopline/onnx.proto", package="loopline.onnx", syntax="proto2")
    for name, part, number, label, kind, target in (
        ("ModelProto", "graph", 7, field.LABEL_OPTIONAL, field.TYPE_MESSAGE, ".loopline.onnx.GraphProto"),
        ("GraphProto", "initializer", 5, field.LABEL_REPEATED, field.TYPE_MESSAGE, ".loopline.onnx.TensorProto"),
        ("TensorProto", "dims", 1, field.LABEL_REPEATED, field.TYPE_INT64, None),
    ):
        file.message_type.add(name=name).field.add(name=part, number=number, label=label, type=kind, type_name=target)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("loopline.onnx.ModelProto"))

"""Score a stream of record batches: what every engine does with the rows, without reading or writing files.

`score_function` returns a function from an iterator to an iterator, which a laptop applies to a Parquet file and Spark
runs in every task (``DataFrame.mapInArrow``).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.examples import FEATURE_TIME
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer
from loopline.components.inference.quarantine import REASON

MODEL_VERSION = "model_version"
NOT_FINITE = "the model's score is not a finite number"
NO_PROBABILITY = "the model's score lies outside 0 to 1, so it is no probability"

Batches = Iterator[pa.RecordBatch]


def score_function(
    model_path: Path, version: str, identity: Sequence[str], workers: int = 1
) -> Callable[[Iterable[pa.RecordBatch]], Batches]:
    """The function that scores record batches; those it yields have `scored_columns`.

    It opens the model when the stream starts, so it can be sent to where the rows are: the model has to be at the same
    path there, and is not verified again. It yields one row for each input row, in order. ``reason`` is null where the
    score is usable.

    Args:
        model_path: the packaged model.
        version: its version in the registry, written into each row.
        identity: the columns that identify a row.
        workers: batches scored at a time, each on one core.

    Raises:
        LooplineError: a batch lacks an input of the model, or has it in a type that cannot be read.
    """

    def score(batches: Iterable[pa.RecordBatch]) -> Batches:
        scorer = Scorer(Model.open(model_path, verify=False), threads=1)
        yield from _map_in_order(partial(_score, scorer, version, identity), batches, workers)

    return score


def scored_columns(identity: Sequence[str], output: str) -> list[str]:
    """Names of the columns of scored rows, in order; ``output`` is the output of the model's signature."""
    return [*identity, FEATURE_TIME, output, MODEL_VERSION, REASON]


def split(scored: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Split scored rows into those to publish, without the column ``reason``, and those to quarantine."""
    usable = scored.column(REASON).is_null()
    return scored.filter(usable).drop_columns([REASON]), scored.filter(pc.invert(usable))


def _score(scorer: Scorer, version: str, identity: Sequence[str], batch: pa.RecordBatch) -> pa.RecordBatch:
    output = scorer.signature.output
    scores = scorer.score(batch)
    columns = [
        *(batch.column(name) for name in [*identity, FEATURE_TIME]),
        pa.array(scores),
        pa.repeat(pa.scalar(version, pa.string()), len(batch)),
        _reasons(scores, is_probability=output == "probability"),
    ]
    return pa.RecordBatch.from_arrays(columns, names=scored_columns(identity, output))


def _reasons(scores: npt.NDArray[np.float32], *, is_probability: bool) -> pa.Array:
    """Why a score is not usable, null where it is."""
    finite = np.isfinite(scores)
    usable = finite & (scores >= 0) & (scores <= 1) if is_probability else finite
    if usable.all():
        return pa.nulls(len(scores), pa.string())
    reasons = np.full(len(scores), None, dtype=object)
    reasons[~usable] = NO_PROBABILITY
    reasons[~finite] = NOT_FINITE
    return pa.array(reasons, pa.string())


def _map_in_order(
    function: Callable[[pa.RecordBatch], pa.RecordBatch], batches: Iterable[pa.RecordBatch], workers: int
) -> Batches:
    """Apply a function in threads, at most ``workers`` batches ahead of the consumer.

    ONNX Runtime and Arrow release the interpreter lock, so the next batches are scored while the caller writes this one
    and reads another.
    """
    if workers == 1:
        yield from map(function, batches)
        return
    pending: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="score") as pool:
        for batch in batches:
            pending.append(pool.submit(function, batch))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

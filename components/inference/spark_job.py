"""Batch prediction on Spark: the shards of a window as the tasks of one job.

Every task reads its rows of the examples, scores them with `components.inference.scoring` and writes a part beside the
predictions; the driver merges the parts. Only numbers of shards and rows go through Spark itself: examples and scores
are read and written by Arrow, as in every other step, so they are the same to the byte, and no jar has to know the
object store.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.contract import dataset, model
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import TABLE
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.inference import shards
from loopline.components.inference.fit import expect_fit
from loopline.components.inference.predictions import lineage
from loopline.components.inference.shards import MOST, Shard
from loopline.components.io import digest, storage

# Rows of a task, unless there are fewer than one task for each core: some seconds of work, all that a lost node costs.
ROWS_PER_TASK = 2_000_000
_BLOCK = 1 << 23


def predict_on(
    spark: Any,
    usecase: str,
    model_uri: str,
    version: str,
    examples_uri: str,
    quarantine_uri: str,
    output_uri: str,
    rows_per_task: int = ROWS_PER_TASK,
) -> str:
    """Score every example on a Spark cluster and put the predictions dataset, equal to that of the local engine.

    Args:
        spark: the session.
        usecase: package of the use case, which the image of the executors holds.
        model_uri: the packaged model.
        version: its version in the registry.
        examples_uri: the examples of the window, where every executor can read them.
        quarantine_uri: what data validation quarantined.
        output_uri: where to put the predictions; the parts lie beside it in between.
        rows_per_task: at most so many rows are scored by a task.

    Returns:
        The digest of the predictions.

    Raises:
        LooplineError: the model does not fit the examples, something cannot be read or written, or a task fails.
        CorruptArtifactError: the model, the examples or the quarantine are not what they were written as.
    """
    with tempfile.TemporaryDirectory(prefix="loopline-spark-") as name:
        folder = Path(name)
        packaged = Model.open(storage.fetch(model_uri, folder / "model", manifest=model.MANIFEST))
        refused = storage.fetch(quarantine_uri, folder / "quarantine", manifest=dataset.MANIFEST)
        examples = _without_rows(examples_uri, folder / "examples")
        expect_fit(packaged.signature, examples, load(usecase).spec)

        context = spark.sparkContext
        rows = examples.rows(TABLE)
        tasks = min(max(context.defaultParallelism, -(-rows // rows_per_task)), max(rows, 1), MOST)
        archive = shutil.make_archive(str(folder / packaged.digest.removeprefix(digest.PREFIX)), "zip", packaged.path)
        context.addArchive(archive)
        parts = f"{output_uri}.parts"
        origin = lineage(usecase, packaged, version, examples)
        score = scoring_task(f"{examples_uri}/{TABLE}.parquet", Path(archive).name, origin, parts, tasks)
        numbers = spark.range(1, tasks + 1, numPartitions=tasks)
        try:
            numbers.mapInArrow(score, "shard long, rows long").collect()
        except Exception as error:  # Spark wraps what a task raises in classes of Java's and its own
            raise LooplineError(_reason(error)) from error

        fetched = [storage.fetch(f"{parts}/{number}", folder / "parts") for number in range(1, tasks + 1)]
        merged = shards.merge(fetched, refused, folder / "predictions")
        storage.put(merged.path, output_uri)
        storage.remove(parts)
        return merged.digest


def scoring_task(
    file_uri: str, archive: str, origin: dict[str, Any], parts: str, of: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for ``mapInArrow``: numbers of shards in, the same and their rows out.

    A task that Spark starts twice writes the same bytes twice.

    Args:
        file_uri: the Parquet file of the examples.
        archive: name of the archive with the model, which Spark has unpacked where the task runs.
        origin: what `components.inference.predictions.lineage` gives.
        parts: where to put the parts.
        of: how many shards there are.
    """

    def score(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import SparkFiles  # noqa: PLC0415 - only in the image of Spark

        packaged = Model.open(SparkFiles.get(archive))
        source, path = storage.filesystem(file_uri)
        for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
            with tempfile.TemporaryDirectory() as folder, pq.ParquetFile(source.open_input_file(path)) as file:
                part = shards.write_part(Path(folder) / "part", file, packaged, Shard(number, of), origin)
                storage.put(part.path, f"{parts}/{number}")
            yield pa.record_batch({"shard": pa.array([number]), "rows": pa.array([part.rows(shards.SCORED)])})

    return score


def _without_rows(uri: str, folder: Path) -> Dataset:
    """The manifest of examples, in a folder of its own; their bytes are checked where they lie.

    Raises:
        CorruptArtifactError: they are not what they were written as.
    """
    storage.fetch(f"{uri}/{dataset.MANIFEST}", folder)
    examples = Dataset.open(folder, verify=False)
    if TABLE in examples.tables:
        source, path = storage.filesystem(f"{uri}/{TABLE}.parquet")
        seen = hashlib.sha256()
        with source.open_input_stream(path) as stream:
            while block := stream.read(_BLOCK):
                seen.update(block)
        if digest.PREFIX + seen.hexdigest() != examples.tables[TABLE]["digest"]:
            raise CorruptArtifactError(f"{uri} does not have the digest it was written with; join the features again")
    return examples


def _reason(error: Exception) -> str:
    """The sentence of a task, out of what Spark makes of it: a traceback of its worker in one of its own."""
    raised = re.findall(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)): (.+)$", str(error), flags=re.MULTILINE)
    for name, words in raised:
        if name in {"LooplineError", "CorruptArtifactError"}:
            return str(words)
    lines = [f"{name}: {words}" for name, words in raised] or str(error).strip().splitlines() or [type(error).__name__]
    return f"a task of the Spark job failed: {lines[0]}"

"""Batch prediction on Spark: one job, with a task for each shard of the window.

Every task reads its rows of the examples, scores them with `components.inference.scoring` and writes a part beside the
predictions; the driver merges the parts. Only numbers of shards and rows pass through Spark: Arrow reads and writes
examples and scores, as in every other step, so the bytes are the same, and no jar for the object store is needed.
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
from loopline.components.inference.predictions import lineage
from loopline.components.inference.shards import MAX_SHARDS, Shard
from loopline.components.inference.signature_check import check_signature
from loopline.components.io import digest, storage

# Rows of a task, unless that makes fewer tasks than cores. A lost node costs some seconds of work.
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
    """Score every example on a Spark cluster and upload the predictions dataset, byte for byte that of engine local.

    Args:
        spark: the session.
        usecase: package of the use case, which the image of the executors holds.
        model_uri: the packaged model.
        version: its version in the registry.
        examples_uri: the examples of the window, where every executor can read them.
        quarantine_uri: what data validation quarantined.
        output_uri: where to put the predictions; the parts lie beside it until they are merged.
        rows_per_task: the most rows that a task scores.

    Returns:
        The digest of the predictions.

    Raises:
        LooplineError: the model does not fit the examples, something cannot be read or written, or a task fails.
        CorruptArtifactError: the model, the examples or the quarantine do not have the digests they were written with.
    """
    with tempfile.TemporaryDirectory(prefix="loopline-spark-") as name:
        folder = Path(name)
        packaged = Model.open(storage.fetch(model_uri, folder / "model", manifest=model.MANIFEST))
        invalid = storage.fetch(quarantine_uri, folder / "quarantine", manifest=dataset.MANIFEST)
        examples = _without_rows(examples_uri, folder / "examples")
        check_signature(packaged.signature, examples, load(usecase).spec)

        context = spark.sparkContext
        rows = examples.rows(TABLE)
        tasks = min(max(context.defaultParallelism, -(-rows // rows_per_task)), max(rows, 1), MAX_SHARDS)
        archive = shutil.make_archive(str(folder / packaged.digest.removeprefix(digest.PREFIX)), "zip", packaged.path)
        context.addArchive(archive)
        parts = f"{output_uri}.parts"
        origin = lineage(usecase, packaged, version, examples)
        score = scoring_task(f"{examples_uri}/{TABLE}.parquet", Path(archive).name, origin, parts, tasks)
        numbers = spark.range(1, tasks + 1, numPartitions=tasks)
        try:
            numbers.mapInArrow(score, "shard long, rows long").collect()
        except Exception as error:  # Spark wraps the error of a task in exceptions of Java and its own
            raise LooplineError(_reason(error)) from error

        fetched = [storage.fetch(f"{parts}/{number}", folder / "parts") for number in range(1, tasks + 1)]
        merged = shards.merge(fetched, invalid, folder / "predictions")
        storage.put(merged.path, output_uri)
        storage.remove(parts)
        return merged.digest


def scoring_task(
    file_uri: str, archive: str, origin: dict[str, Any], parts: str, of: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for ``mapInArrow``: takes numbers of shards, yields them with their numbers of rows.

    A task that Spark starts twice writes the same bytes twice.

    Args:
        file_uri: the Parquet file of the examples.
        archive: name of the archive with the model, which Spark unpacks on every node.
        origin: what `components.inference.predictions.lineage` returns.
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
    """The examples with only their manifest fetched; their rows are verified in the object store.

    Raises:
        CorruptArtifactError: they do not have the digests they were written with.
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
    """The message of the error that a task raised, from the tracebacks that Spark wraps it in."""
    raised = re.findall(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)): (.+)$", str(error), flags=re.MULTILINE)
    for name, words in raised:
        if name in {"LooplineError", "CorruptArtifactError"}:
            return str(words)
    lines = [f"{name}: {words}" for name, words in raised] or str(error).strip().splitlines() or [type(error).__name__]
    return f"a task of the Spark job failed: {lines[0]}"

"""Batch prediction in parallel: contiguous shards of the examples are scored independently, then merged.

The output of one shard, a part, is a dataset with one table, ``scored``: all rows of `components.inference.scoring`,
those without a usable score included. It is not a predictions dataset, so it cannot be published by mistake.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import TABLE, identity_columns
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.inference import predictions
from loopline.components.inference.predict import BATCH_ROWS, columns_to_read, read
from loopline.components.inference.predictions import in_row_groups, lineage
from loopline.components.inference.scoring import score_function
from loopline.components.inference.signature_check import check_signature

SCORED = "scored"
MAX_SHARDS = 1000


@dataclass(frozen=True)
class Shard:
    """A contiguous part of the examples, written as ``2/4``.

    Attributes:
        number: from 1.
        of: how many shards there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``<number>/<of>``.

        Raises:
            LooplineError: the text is not a shard.
        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise LooplineError(f"'{text}' is not a shard; write for example 2/4 for the second of four")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, total: int) -> range:
        """The positions of its rows among ``total``; shards differ in size by one row at most."""
        return range(total * (self.number - 1) // self.of, total * self.number // self.of)


def plan(shards: str) -> list[str]:
    """The shards, in order, for a number of them.

    Raises:
        LooplineError: it is not a number from 1 to 1000.
    """
    if not re.fullmatch(r"\d{1,4}", shards) or not 1 <= int(shards) <= MAX_SHARDS:
        raise LooplineError(f"'{shards}' shards cannot be made; give a number from 1 to {MAX_SHARDS}")
    return [str(Shard(number, int(shards))) for number in range(1, int(shards) + 1)]


def score_shard(
    usecase: str, model_path: Path | str, version: str, examples_path: Path | str, shard: str, part_path: Path | str
) -> Dataset:
    """Score the examples of one shard, in order, and write the part.

    Args:
        usecase: package of the use case.
        model_path: the packaged model.
        version: its version in the registry.
        examples_path: all the examples of the window.
        shard: which of them, such as 2/4.
        part_path: the folder to make.

    Raises:
        LooplineError: the shard is malformed, the model does not fit these examples, or the disk is full.
        CorruptArtifactError: the model or the examples do not have the digests they were written with.
    """
    chosen = Shard.parse(shard)
    spec = load(usecase).spec
    model, examples = Model.open(model_path), Dataset.open(examples_path)
    check_signature(model.signature, examples, spec)
    with pq.ParquetFile(examples.file(TABLE), pre_buffer=False) as file:
        origin = lineage(usecase, model, version, examples)
        return write_part(part_path, file, model, chosen, origin, workers=pa.cpu_count())


def write_part(
    path: Path | str, file: pq.ParquetFile, model: Model, shard: Shard, origin: dict[str, Any], workers: int = 1
) -> Dataset:
    """Score the rows of a shard and write the part.

    Args:
        path: the folder to make.
        file: all the examples; only the row groups that hold rows of the shard are read.
        model: one that fits them.
        shard: which rows.
        origin: what `components.inference.predictions.lineage` returns.
        workers: batches scored at a time, each on one core.

    Raises:
        LooplineError: the disk is full.
    """
    spec = load(origin["usecase"]).spec
    total = file.metadata.num_rows
    score = score_function(model.path, origin["model_version"], identity_columns(spec), workers)
    rows = read(file, columns_to_read(model, spec), shard.rows(total), BATCH_ROWS)
    return dataset.write(path, {SCORED: in_row_groups(score(rows))}, {**origin, "rows": total, "shard": str(shard)})


def merge(part_paths: Sequence[Path | str], quarantine_path: Path | str, predictions_path: Path | str) -> Dataset:
    """Merge the parts into the predictions dataset, byte for byte the one that `predict` writes.

    Args:
        part_paths: the parts, in any order.
        quarantine_path: what data validation quarantined.
        predictions_path: the folder to make.

    Raises:
        LooplineError: the parts belong to different predictions, one is missing, or the disk is full.
        CorruptArtifactError: a part or the quarantine does not have the digest it was written with.
    """
    parts = [Dataset.open(path) for path in part_paths]
    ordered, origin, rows = _one_prediction(parts)
    spec = load(origin["usecase"]).spec
    invalid = Dataset.open(quarantine_path)
    return predictions.write(predictions_path, _scored(ordered), rows, invalid, spec, origin)


def _one_prediction(parts: Sequence[Dataset]) -> tuple[list[Dataset], dict[str, Any], int]:
    """The parts in order, their common lineage, and the number of their rows.

    Raises:
        LooplineError: they are not the parts of one prediction.
    """
    for part in parts:
        if SCORED not in part.tables or "shard" not in part.facts:
            raise LooplineError(f"{part.path} holds no part of a prediction but {', '.join(part.tables)}")
    ordered = sorted(parts, key=lambda part: Shard.parse(part.facts["shard"]).number)
    shards = [str(part.facts["shard"]) for part in ordered]
    of = Shard.parse(shards[0]).of if shards else 0
    if not shards or shards != [str(Shard(number, of)) for number in range(1, of + 1)]:
        raise LooplineError(f"the parts are those of the shards {', '.join(shards) or 'none'}: one of each is needed")
    origins = [{name: fact for name, fact in part.facts.items() if name != "shard"} for part in ordered]
    for part, origin in zip(ordered, origins, strict=True):
        for name, fact in origin.items():
            if fact != origins[0].get(name):
                raise LooplineError(f"the parts belong to different predictions: {name} of {part.path} is {fact}")
    (rows,) = {int(origin.pop("rows")) for origin in origins}
    return ordered, origins[0], rows


def _scored(parts: Sequence[Dataset]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pq.ParquetFile(part.file(SCORED), pre_buffer=False) as file:
            yield from read(file, file.schema_arrow.names, range(part.rows(SCORED)), BATCH_ROWS)

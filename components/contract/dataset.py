"""The dataset artifact: a folder of Parquet tables with a manifest that carries schema, counts and digests.

Layout::

    dataset.json        format, tables {name: rows, columns, digest}, facts, digest of it all
    <table>.parquet
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import atomic, digest

FORMAT = "loopline.dataset/1"
MANIFEST = "dataset.json"
# Row groups of this many rows bound what a reader that streams has to hold at once.
ROW_GROUP = 65_536


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Attributes:
        path: its folder.
        tables: by name, ``rows``, ``columns`` (name -> Arrow type as text) and ``digest``.
        facts: what the step that wrote it recorded: window, counts, lineage.
        digest: content digest over schema and bytes of every table, and the facts.
    """

    path: Path
    tables: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]
    digest: str

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> Self:
        """Open a dataset, by default checking its bytes against its digest.

        Raises:
            LooplineError: it does not exist, or has another format.
            CorruptArtifactError: its bytes have changed since it was written.
        """
        path = Path(path)
        manifest = read_manifest(path / MANIFEST, FORMAT, ("tables", "facts", "digest"))
        dataset = cls(path, manifest["tables"], manifest["facts"], manifest["digest"])
        if verify:
            dataset.verify()
        return dataset

    def verify(self) -> None:
        """Check every byte against the digests.

        Raises:
            CorruptArtifactError: a table is missing or changed, or the manifest was edited.
        """
        for name, table in self.tables.items():
            file = self.file(name)
            if not file.is_file():
                raise CorruptArtifactError(f"dataset {self.path} lacks its table {name}; delete it and run again")
            if digest.of_file(file) != table["digest"]:
                raise CorruptArtifactError(
                    f"{file} does not have the digest it was written with; delete it and run again"
                )
        if _identity(self.tables, self.facts) != self.digest:
            raise CorruptArtifactError(
                f"{self.path / MANIFEST} was edited after it was written; delete it and run again"
            )

    def file(self, table: str) -> Path:
        """The Parquet file of a table."""
        return self.path / f"{table}.parquet"

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """A whole table in memory.

        Raises:
            LooplineError: there is no such table.
        """
        if table not in self.tables:
            raise LooplineError(f"dataset {self.path} has no table '{table}'; it has {', '.join(self.tables)}")
        return pq.ParquetFile(self.file(table)).read(columns=columns)  # read_table would import pandas

    def rows(self, table: str) -> int:
        """Number of rows of a table."""
        return int(self.tables[table]["rows"])


def write(
    path: Path | str, tables: Mapping[str, pa.Table | Iterable[pa.RecordBatch]], facts: Mapping[str, Any]
) -> Dataset:
    """Write a dataset atomically; equal content gives equal bytes and so an equal digest.

    Args:
        path: the folder to make.
        tables: Arrow tables, or streams of record batches (at least one batch, possibly empty), by name.
        facts: JSON values to keep with it; read after the last batch, so that a stream can add what it counted.

    Raises:
        LooplineError: the disk is full.
    """
    path = Path(path)
    with atomic.new_folder(path) as folder:
        described = {name: _write_table(folder / f"{name}.parquet", table) for name, table in tables.items()}
        manifest = {"format": FORMAT, "tables": described, "facts": dict(facts), "digest": _identity(described, facts)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
    return Dataset.open(path, verify=False)


def read_manifest(path: Path, expected: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read the JSON manifest of an artifact.

    Args:
        path: the file.
        expected: its format.
        keys: other keys that it must have.

    Raises:
        LooplineError: it is missing or has another format.
        CorruptArtifactError: it is not JSON, or lacks a key.
    """
    if not path.is_file():
        raise LooplineError(f"there is no artifact at {path.parent}: {path.name} is missing")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptArtifactError(f"{path} is damaged: it is not JSON; delete its folder and run again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != expected:
        raise LooplineError(f"{path} is not in format {expected}")
    if lost := set(keys) - set(manifest):
        raise CorruptArtifactError(f"{path} lacks {', '.join(sorted(lost))}; delete its folder and run again")
    return manifest


def _write_table(file: Path, table: pa.Table | Iterable[pa.RecordBatch]) -> dict[str, Any]:
    batches: Iterator[pa.RecordBatch]
    if isinstance(table, pa.Table):
        schema, batches, chunk = table.schema, iter([]), table
    else:
        batches = iter(table)
        first = next(batches)
        schema, chunk = first.schema, pa.Table.from_batches([first])
    schema = schema.remove_metadata()
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        writer.write_table(chunk.replace_schema_metadata(None), row_group_size=ROW_GROUP)
        rows += chunk.num_rows
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]).replace_schema_metadata(None), row_group_size=ROW_GROUP)
            rows += batch.num_rows
    columns = {field.name: str(field.type) for field in schema}
    return {"rows": rows, "columns": columns, "digest": digest.of_file(file)}


def _identity(tables: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    return digest.of_value({"tables": tables, "facts": dict(facts)})

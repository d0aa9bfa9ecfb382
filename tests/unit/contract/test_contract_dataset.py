"""The dataset artifact: what is written comes back, equal content has one digest, and no change goes unnoticed."""

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.errors import CorruptArtifactError, LooplineError

TABLE = pa.table({"key": ["a", "b", None], "value": [1, None, 3]})
FACTS = {"window": ["2024-01-01", "2024-01-02"], "rows": {"t": 3}}


@pytest.fixture
def written(tmp_path: Path) -> Dataset:
    return dataset.write(tmp_path / "d", {"t": TABLE, "empty": TABLE.slice(0, 0)}, FACTS)


def test_what_is_written_comes_back(written: Dataset) -> None:
    opened = Dataset.open(written.path)
    assert opened == written
    assert opened.read("t").equals(TABLE)
    assert opened.read("t", ["value"]).column_names == ["value"]
    assert (opened.rows("t"), opened.rows("empty")) == (3, 0)
    assert opened.read("empty").schema == TABLE.schema
    assert opened.facts == FACTS
    assert opened.tables["t"]["columns"] == {"key": "string", "value": "int64"}


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "text": st.none() | st.text(),
                "number": st.none() | st.integers(-(2**63), 2**63 - 1),
                "flag": st.booleans(),
            }
        )
    )
)
def test_any_rows_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    schema = pa.schema({"text": pa.string(), "number": pa.int64(), "flag": pa.bool_()})
    dataset.write(folder / "d", {"t": pa.Table.from_pylist(rows, schema)}, {})
    assert Dataset.open(folder / "d").read("t").to_pylist() == rows
    shutil.rmtree(folder)


def test_equal_content_has_an_equal_digest_wherever_it_lies(tmp_path: Path, written: Dataset) -> None:
    tables = {"t": TABLE.replace_schema_metadata({"pandas": "{}"}), "empty": TABLE.slice(0, 0)}
    again = dataset.write(tmp_path / "elsewhere", tables, dict(reversed(FACTS.items())))
    assert again.digest == written.digest
    assert again.file("t").read_bytes() == written.file("t").read_bytes()


@pytest.mark.parametrize(
    ("tables", "facts"),
    [
        ({"t": TABLE.slice(0, 2), "empty": TABLE.slice(0, 0)}, FACTS),
        ({"t": TABLE.take([1, 0, 2]), "empty": TABLE.slice(0, 0)}, FACTS),
        ({"t": TABLE, "other": TABLE.slice(0, 0)}, FACTS),
        ({"t": TABLE, "empty": TABLE.slice(0, 0)}, FACTS | {"rows": {"t": 4}}),
    ],
)
def test_other_content_has_another_digest(
    tmp_path: Path, written: Dataset, tables: dict[str, pa.Table], facts: dict[str, Any]
) -> None:
    assert dataset.write(tmp_path / "other", tables, facts).digest != written.digest


def test_a_stream_is_written_as_it_comes_and_may_note_what_it_counted(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"rows": 0}

    def stream() -> Iterator[pa.RecordBatch]:
        for batch in TABLE.to_batches() + TABLE.slice(1).to_batches():
            facts["rows"] += batch.num_rows
            yield batch

    written = dataset.write(tmp_path / "d", {"t": stream()}, facts)
    assert Dataset.open(tmp_path / "d").facts == {"rows": 5}
    assert written.read("t").equals(pa.concat_tables([TABLE, TABLE.slice(1)]))


def test_facts_with_keys_that_json_does_not_know_still_verify(tmp_path: Path) -> None:
    dataset.write(tmp_path / "d", {"t": TABLE}, {"by_hour": {10: 1, 9: 2}, "folder": tmp_path})
    assert Dataset.open(tmp_path / "d").facts["by_hour"] == {"10": 1, "9": 2}


def test_any_changed_byte_is_detected(written: Dataset) -> None:
    file = written.file("t")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"t\.parquet does not have the digest it was written with"):
        Dataset.open(written.path)
    Dataset.open(written.path, verify=False)


def test_a_lost_table_is_detected(written: Dataset) -> None:
    written.file("t").unlink()
    with pytest.raises(CorruptArtifactError, match="lacks its table t"):
        Dataset.open(written.path)


def edit(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / dataset.MANIFEST).read_text())
    (path / dataset.MANIFEST).write_text(json.dumps(manifest | changes))


def test_edited_facts_are_detected(written: Dataset) -> None:
    edit(written.path, facts=FACTS | {"rows": {"t": 9}})
    with pytest.raises(CorruptArtifactError, match=r"dataset\.json was edited after it was written"):
        Dataset.open(written.path)


def test_a_swapped_table_with_a_forged_digest_is_detected(written: Dataset) -> None:
    from loopline.components.io import digest

    pq.write_table(TABLE.slice(1), written.file("t"))
    forged = {**written.tables, "t": {**written.tables["t"], "digest": digest.of_file(written.file("t"))}}
    edit(written.path, tables=forged)
    with pytest.raises(CorruptArtifactError, match="was edited"):
        Dataset.open(written.path)


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (None, LooplineError, "there is no artifact at"),
        ('{"format": "loopline.data', CorruptArtifactError, "is damaged: it is not JSON"),
        (b"\xff\xfe", CorruptArtifactError, "is damaged: it is not JSON"),
        ('{"format": "loopline.model/1"}', LooplineError, "is not in format loopline.dataset/1"),
        ("[]", LooplineError, "is not in format loopline.dataset/1"),
        ('{"format": "loopline.dataset/1", "facts": {}}', CorruptArtifactError, "lacks digest, tables; delete"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, content: Any, kind: type[Exception], says: str) -> None:
    if content is not None:
        (tmp_path / dataset.MANIFEST).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=says):
        Dataset.open(tmp_path)


def test_there_is_no_such_table(written: Dataset) -> None:
    with pytest.raises(LooplineError, match="has no table 'x'; it has t, empty"):
        written.read("x")


def test_a_full_disk_leaves_the_old_dataset(written: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(LooplineError, match="the disk is full: "):
        dataset.write(written.path, {"t": TABLE}, {})
    assert Dataset.open(written.path).digest == written.digest
    assert [path.name for path in written.path.parent.iterdir()] == ["d"]

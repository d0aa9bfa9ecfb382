"""Shards: however many, their merger is the prediction that one step makes, to the byte."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl
from tram_examples import FIRST, Inputs, moments, trips

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.inference import component, predictions
from loopline.components.inference import predict as predict_module
from loopline.components.inference.predict import predict, read
from loopline.components.inference.predictions import in_row_groups
from loopline.components.inference.publish import publish
from loopline.components.inference.shards import Shard, merge, plan, score_shard


def signals(values: list[float | None]) -> pa.Table:
    return trips(values, moments(FIRST, len(values), timedelta(minutes=10)))


def refused(count: int) -> pa.Table:
    rows = signals([0.5] * count)
    return rows.append_column("reason", pa.array(["odd"] * count, pa.string()))


def in_shards(usecase: str, model: Model, paths: dict[str, Any], shards: int, folder: Path) -> list[Path]:
    parts = []
    for number, shard in enumerate(plan(str(shards))):
        parts.append(folder / f"part-{shards}-{number}")
        score_shard(usecase, model.path, "7", paths["examples_path"], shard, parts[-1])
    return parts


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 1.0, 2.0, None]), max_size=60),
    left_out=st.integers(0, 3),
    shards=st.integers(1, 9),
    group=st.sampled_from([1, 7, 65_536]),
)
def test_any_number_of_shards_gives_the_same_bytes(
    usecase: str,
    echo: Model,
    inputs: Inputs,
    tmp_path: Path,
    values: list[float | None],
    left_out: int,
    shards: int,
    group: int,
) -> None:
    paths = inputs(signals(values), refused(left_out))
    with pytest.MonkeyPatch.context() as patch:  # small groups: boundaries fall everywhere
        patch.setattr(predictions, "in_row_groups", lambda batches: in_row_groups(batches, group))
        whole = predict(usecase, echo.path, "7", **paths)
        parts = in_shards(usecase, echo, paths, shards, tmp_path)
        merged = merge(parts[::-1], paths["quarantine_path"], tmp_path / "merged")
    assert merged.digest == whole.digest
    assert merged.facts["rows_in"] == len(values) + left_out


def test_shards_of_a_network_over_several_row_groups_are_the_whole(
    usecase: str, network: Model, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_module, "BATCH_ROWS", 1000)
    paths = inputs(signals([n / 5000 if n % 7 else None for n in range(5000)]))
    table = pq.read_table(paths["examples_path"] / "examples.parquet")
    facts = Dataset.open(paths["examples_path"]).facts
    dataset.write(paths["examples_path"], {"examples": iter(table.to_batches(max_chunksize=700))}, facts)
    whole = predict(usecase, network.path, "7", **paths)
    for shards in (1, 2, 5):
        parts = in_shards(usecase, network, paths, shards, tmp_path)
        assert merge(parts, paths["quarantine_path"], tmp_path / "merged").digest == whole.digest


@given(st.integers(0, 10_000), st.integers(1, 1000))
def test_shards_are_contiguous_even_and_all(total: int, of: int) -> None:
    ranges = [Shard(number, of).rows(total) for number in range(1, of + 1)]
    assert [row for rows in ranges for row in rows] == list(range(total))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), max_size=6), st.data())
def test_a_range_of_rows_is_read_wherever_groups_end(tmp_path: Path, groups: list[int], data: st.DataObject) -> None:
    total = sum(groups)
    start = data.draw(st.integers(0, total))
    rows = range(start, data.draw(st.integers(start, total)))
    values = iter(range(total))
    schema = pa.schema([("x", pa.int64()), ("y", pa.int64())])
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for size in groups:
            column = [next(values) for _ in range(size)]
            writer.write_table(pa.table({"x": column, "y": column}))
    with pq.ParquetFile(tmp_path / "t.parquet") as file:
        batches = list(read(file, ["y"], rows, data.draw(st.integers(1, 10))))
    assert batches
    assert {tuple(batch.schema.names) for batch in batches} == {("y",)}
    assert [value for batch in batches for value in batch["y"].to_pylist()] == list(rows)


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(1, 15))
def test_groups_have_just_so_many_rows(sizes: list[int], rows: int) -> None:
    values = list(range(sum(sizes)))
    batches, start = [], 0
    for size in sizes:
        batches.append(pa.record_batch({"x": pa.array(values[start : start + size], pa.int64())}))
        start += size
    grouped = list(in_row_groups(batches, rows))
    assert [value for batch in grouped for value in batch["x"].to_pylist()] == values
    assert all(len(batch) == rows for batch in grouped[:-1])
    assert len(grouped[-1]) < rows


@pytest.mark.parametrize("shards", ["0", "-1", "1001", "two", "", "1.5", "99999"])
def test_a_number_of_shards_that_is_none(shards: str) -> None:
    with pytest.raises(LooplineError, match=f"'{shards}' shards cannot be made"):
        plan(shards)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "", "1/2/3"])
def test_a_shard_that_is_none(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path, shard: str) -> None:
    paths = inputs(signals([0.5]))
    with pytest.raises(LooplineError, match=f"'{shard}' is not a shard"):
        score_shard(usecase, echo.path, "7", paths["examples_path"], shard, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_parts_that_are_not_of_one_prediction(
    usecase: str, echo: Model, network: Model, inputs: Inputs, tmp_path: Path
) -> None:
    paths = inputs(signals([0.5] * 10))
    parts = in_shards(usecase, echo, paths, 3, tmp_path)

    def refusal(chosen: list[Path]) -> str:
        with pytest.raises(LooplineError) as error:
            merge(chosen, paths["quarantine_path"], tmp_path / "merged")
        assert not (tmp_path / "merged").exists()
        return str(error.value)

    assert "the shards 1/3, 3/3: one of each is needed" in refusal([parts[0], parts[2]])
    assert "the shards 1/3, 1/3, 2/3" in refusal([parts[0], parts[0], parts[1]])
    assert "the shards none" in refusal([])
    assert "holds no part of a prediction but examples" in refusal([paths["examples_path"]])
    score_shard(usecase, network.path, "7", paths["examples_path"], "3/3", parts[2])
    assert "the parts belong to different predictions: model of" in refusal(parts)


def test_a_damaged_part_is_refused(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    paths = inputs(signals([0.5] * 10))
    parts = in_shards(usecase, echo, paths, 2, tmp_path)
    (parts[1] / "scored.parquet").write_bytes((parts[1] / "scored.parquet").read_bytes()[:-8])
    with pytest.raises(CorruptArtifactError):
        merge(parts, paths["quarantine_path"], tmp_path / "merged")


def test_a_part_cannot_be_published(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    (part,) = in_shards(usecase, echo, inputs(signals([0.5])), 1, tmp_path)
    with pytest.raises(LooplineError, match="holds no predictions but scored"):
        publish(usecase, "2024-03-20", "2024-03-30", tmp_path / "published", part, tmp_path / "receipt.json")


def test_components_of_shards(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    paths = inputs(signals([0.5, None, 0.25]))
    examples = dsl.Dataset(uri=str(paths["examples_path"]))
    parts = []
    for shard in component.plan_shards.python_func(shards="2"):
        part = dsl.Dataset(uri=str(tmp_path / shard.replace("/", "-")))
        component.score_shard.python_func(
            usecase=usecase, model=dsl.Model(uri=str(echo.path)), version="7", examples=examples, shard=shard, part=part
        )
        assert part.metadata["digest"] == Dataset.open(part.path).digest
        parts.append(part)
    merged, metrics = dsl.Dataset(uri=str(tmp_path / "merged")), dsl.Metrics()
    component.merge_shards.python_func(
        parts=parts,
        quarantine=dsl.Dataset(uri=str(paths["quarantine_path"])),
        predictions=merged,
        metrics=metrics,
    )
    counts = {"rows_in": 3, "rows_out": 2, "rows_quarantined": 1}
    assert metrics.metadata == counts
    assert merged.metadata == {"digest": predict(usecase, echo.path, "7", **paths).digest, **counts}

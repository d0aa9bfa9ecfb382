"""Publishing: each window replaces exactly its own dates, and readers see all of the old or all of the new."""

import errno
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tram_examples import FIRST, USECASE, Predicted, moments

from loopline.components.contract.examples import TIMESTAMP
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.inference.publish import publish
from loopline.components.io.atomic import PARTIAL

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "published"


def versions(destination: Path) -> dict[str, set[str]]:
    """The model versions in each published date."""
    snapshot = (destination / "current").resolve()
    return {
        folder.name.removeprefix("date="): set(pq.read_table(folder / "part-0.parquet")["model_version"].to_pylist())
        for folder in sorted(snapshot.iterdir())
    }


def days(first: int, end: int, version: str) -> dict[str, set[str]]:
    return {f"2024-03-{day}": {version} for day in range(first, end)}


def test_dates_are_partitions_and_no_columns(usecase: str, predicted: Predicted, destination: Path) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-22"))
    files = sorted(path.relative_to(destination / "current") for path in destination.glob("current/*/*"))
    assert files == [Path("date=2024-03-20/part-0.parquet"), Path("date=2024-03-21/part-0.parquet")]
    names = ["line", "trip", "departs_at", "feature_time", "probability", "model_version"]
    assert pq.ParquetFile(destination / "current" / files[0]).schema_arrow.names == names
    table = ds.dataset(destination / "current", partitioning="hive").to_table()
    assert table.column_names == [*names, "date"]
    assert len(table) == 48


def test_dates_are_local_and_days_differ_in_length(usecase: str, predicted: Predicted, destination: Path) -> None:
    receipt = publish(usecase, destination=destination, **predicted("2024-03-30", "2024-04-02"))
    assert receipt["dates"] == {"2024-03-30": 24, "2024-03-31": 23, "2024-04-01": 24}  # clocks went forward
    first = pq.read_table(destination / "current/date=2024-03-31/part-0.parquet")["departs_at"][0]
    assert first.cast(pa.string()).as_py() == "2024-03-30 23:00:00.000000Z"


def test_rows_keep_their_order_within_a_date(usecase: str, predicted: Predicted, destination: Path) -> None:
    at = moments(FIRST, 48, timedelta(hours=1))
    shuffled = [*at[1::2], *at[::2]]
    rows = pa.table({"trip": range(48), "departs_at": pa.array(shuffled, TIMESTAMP)})
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-22", rows=rows))
    trips = pq.read_table(destination / "current/date=2024-03-21/part-0.parquet")["trip"].to_pylist()
    assert trips == [*range(12, 24), *range(36, 48)]


def test_receipt_tells_what_was_published(
    usecase: str, predicted: Predicted, destination: Path, tmp_path: Path
) -> None:
    arguments = predicted("2024-03-20", "2024-03-22", "3")
    receipt = publish(usecase, destination=str(destination), **arguments)
    assert receipt == json.loads((tmp_path / "receipt.json").read_text())
    assert receipt["path"] == str(destination / "current")
    assert (destination / "current").resolve().name == receipt["snapshot"]
    assert receipt["dates"] == {"2024-03-20": 24, "2024-03-21": 24}
    assert (receipt["rows"], receipt["rows_in"], receipt["rows_out"], receipt["rows_quarantined"]) == (48, 49, 48, 1)
    assert receipt["model_version"] == "3"


def test_a_window_replaces_its_dates_and_no_other(usecase: str, predicted: Predicted, destination: Path) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-26", "1"))
    untouched = destination / "current/date=2024-03-20/part-0.parquet"
    before = (untouched.read_bytes(), untouched.stat().st_ino)
    publish(usecase, destination=destination, **predicted("2024-03-22", "2024-03-24", "2"))
    assert versions(destination) == {**days(20, 26, "1"), **days(22, 24, "2")}
    assert (untouched.read_bytes(), untouched.stat().st_ino) == before


def test_a_date_without_rows_any_more_vanishes(usecase: str, predicted: Predicted, destination: Path) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-24", "1"))
    one = pa.table({"departs_at": pa.array([FIRST], TIMESTAMP), "model_version": ["2"]})
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-23", "2", rows=one))
    assert versions(destination) == {"2024-03-20": {"2"}, "2024-03-23": {"1"}}


def tree(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path != folder / "snapshots"}


def test_the_same_predictions_again_change_nothing(usecase: str, predicted: Predicted, destination: Path) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-24", "1"))
    arguments = predicted("2024-03-22", "2024-03-23", "2")
    first = publish(usecase, destination=destination, **arguments)
    before = {path: time for path, time in tree(destination).items() if path.name != ".lock"}
    assert publish(usecase, destination=destination, **arguments) == first
    assert {path: time for path, time in tree(destination).items() if path.name != ".lock"} == before


def test_the_current_and_the_former_snapshot_are_kept(usecase: str, predicted: Predicted, destination: Path) -> None:
    for version in "1234":
        former = (destination / "current").resolve()
        publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-22", version))
    kept = sorted((destination / "snapshots").iterdir())
    assert kept == [former, (destination / "current").resolve()]


def test_a_key_called_date_stays_a_column(usecases: dict[str, str], predicted: Predicted, destination: Path) -> None:
    folder = Path(usecases["root"]) / "inference_dated"
    folder.mkdir()
    (folder / "__init__.py").touch()
    text = USECASE.format(name="dated", task="regression").replace("departs_at", "date")
    (folder / "usecase.yaml").write_text(text)
    rows = pa.table({"date": pa.array([FIRST], TIMESTAMP), "prediction": [1.0], "model_version": ["1"]})
    arguments = predicted("2024-03-20", "2024-03-21", rows=rows)
    receipt = publish("inference_dated", destination=destination, **arguments)
    assert receipt["partition"] == "event_date"
    table = ds.dataset(destination / "current", partitioning="hive").to_table()
    assert table["date"].to_pylist() == [FIRST]
    assert table["event_date"].to_pylist() == ["2024-03-20"]


def refusal(usecase: str, destination: Path | str, arguments: dict[str, Any]) -> str:
    with pytest.raises(LooplineError) as error:
        publish(usecase, destination=destination, **arguments)
    assert "\n" not in str(error.value)
    assert not Path(arguments["receipt_path"]).exists()
    return str(error.value)


def test_half_a_day_is_refused(usecase: str, predicted: Predicted, destination: Path) -> None:
    assert "whole days in Europe/Berlin" in refusal(usecase, destination, predicted("2024-03-20T12:00", "2024-03-22"))
    assert not destination.exists()


def test_predictions_of_another_window_are_refused(usecase: str, predicted: Predicted, destination: Path) -> None:
    arguments = {**predicted("2024-03-20", "2024-03-22"), "end": "2024-03-23"}
    assert "publish the window that was predicted" in refusal(usecase, destination, arguments)


def test_a_row_outside_the_window_is_refused(usecase: str, predicted: Predicted, destination: Path) -> None:
    rows = pa.table({"departs_at": pa.array([FIRST, FIRST - timedelta(microseconds=1)], TIMESTAMP)})
    arguments = predicted("2024-03-20", "2024-03-22", rows=rows)
    assert "not in the window" in refusal(usecase, destination, arguments)


def test_a_model_that_predicts_nothing_replaces_nothing(usecase: str, predicted: Predicted, destination: Path) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-22", "1"))
    (Path(predicted("2024-03-20", "2024-03-22", "1")["receipt_path"])).unlink()
    none = pa.table({"departs_at": pa.array([], TIMESTAMP), "model_version": pa.array([], pa.string())})
    arguments = predicted("2024-03-20", "2024-03-22", "2", rows=none)
    assert "could predict none" in refusal(usecase, destination, arguments)
    assert versions(destination) == days(20, 22, "1")


def test_something_else_than_predictions_is_refused(
    usecase: str, predicted: Predicted, destination: Path, tmp_path: Path
) -> None:
    from loopline.components.contract import dataset

    arguments = predicted("2024-03-20", "2024-03-22")
    dataset.write(arguments["predictions_path"], {"trips": pa.table({"a": [1]})}, {})
    assert "no predictions" in refusal(usecase, destination, arguments)


def test_damaged_predictions_are_refused(usecase: str, predicted: Predicted, destination: Path) -> None:
    arguments = predicted("2024-03-20", "2024-03-22")
    file = arguments["predictions_path"] / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CorruptArtifactError):
        publish(usecase, destination=destination, **arguments)


def test_an_address_of_another_kind_is_refused(usecase: str, predicted: Predicted) -> None:
    arguments = predicted("2024-03-20", "2024-03-22")
    assert "give a path, file:///path or s3://bucket/key" in refusal(usecase, "gs://bucket/predictions", arguments)


def test_a_file_in_the_way_is_one_sentence(usecase: str, predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = predicted("2024-03-20", "2024-03-22")
    assert "cannot be written (Not a directory)" in refusal(usecase, tmp_path / "file" / "published", arguments)


def test_a_full_disk_leaves_what_was_published(
    usecase: str, predicted: Predicted, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-24", "1"))
    arguments = predicted("2024-03-21", "2024-03-23", "2")
    arguments["receipt_path"].unlink()
    before = tree(destination / "snapshots").keys()
    written = []

    def write_batch(self: pq.ParquetWriter, batch: pa.RecordBatch) -> None:
        written.append(batch)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", write_batch)
    assert "the disk is full" in refusal(usecase, destination, arguments)
    assert tree(destination / "snapshots").keys() == before
    assert versions(destination) == days(20, 24, "1")


# Publishes in one process after another, each killed before its next change to the file system, until one
# gets through. What each left is put aside.
PUBLISH_AND_DIE = """
import json, os, shutil, signal, sys
from itertools import count
root, destination, dead, arguments = *sys.argv[1:4], json.loads(sys.argv[4])
sys.path.insert(0, root)
import pandas  # Arrow would import it in every process
from loopline.components.inference.publish import publish
WATCHED = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}

def dying(at):
    reached = count(1)
    def hook(event, details):
        if event in WATCHED and next(reached) == at:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    publish(destination=destination, **arguments)

for at in count(1):
    shutil.copytree(destination, f"{dead}/before", symlinks=True)
    child = os.fork()
    if not child:
        dying(at)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.rename(destination, f"{dead}/{at}")
    os.rename(f"{dead}/before", destination)
    if not killed:
        break
"""


def test_killed_anywhere_readers_see_old_or_new_and_the_next_run_cleans_up(
    usecase: str, usecases: dict[str, str], predicted: Predicted, destination: Path, tmp_path: Path
) -> None:
    for version in "12":
        publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-22", version))
    arguments = predicted("2024-03-21", "2024-03-22", "3")
    dead = tmp_path / "dead"
    dead.mkdir()
    texts = {"usecase": usecase, **{name: str(value) for name, value in arguments.items()}}
    command = [sys.executable, "-c", PUBLISH_AND_DIE, usecases["root"], str(destination), str(dead), json.dumps(texts)]
    subprocess.run(command, check=True, cwd=PROJECT)

    old, new = days(20, 22, "2"), {**days(20, 21, "2"), **days(21, 22, "3")}
    deaths = sorted(dead.iterdir(), key=lambda path: int(path.name))
    seen = [versions(death) for death in deaths]
    turned = seen.index(new)
    assert seen == [old] * turned + [new] * (len(seen) - turned)
    assert 5 < turned < len(seen) - 1  # died before and after readers were turned to the new snapshot
    for death in deaths:
        former = (death / "current").resolve()
        publish(usecase, destination=death, **arguments)
        assert versions(death) == new
        assert not [path for path in death.rglob("*") if PARTIAL in path.name]
        kept = sorted((death / "snapshots").iterdir())
        assert len(kept) == 2
        assert former in kept


PUBLISH_OFTEN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from loopline.components.inference.publish import publish
print("ready", flush=True)
sys.stdin.readline()
for arguments in json.loads(sys.argv[2]):
    publish(**arguments)
"""


def test_two_publishers_at_once_never_mix(
    usecase: str, usecases: dict[str, str], predicted: Predicted, destination: Path, tmp_path: Path
) -> None:
    publish(usecase, destination=destination, **predicted("2024-03-20", "2024-03-28", "0"))
    windows = {"a": (20, 25), "b": (23, 28)}
    publishers = []
    for name, (first, end) in windows.items():
        jobs = [
            {**predicted(f"2024-03-{first}", f"2024-03-{end}", f"{name}{i}"), "receipt_path": tmp_path / name}
            for i in range(5)
        ]
        texts = [{"usecase": usecase, "destination": str(destination), **job} for job in jobs]
        command = [sys.executable, "-c", PUBLISH_OFTEN, usecases["root"], json.dumps(texts, default=str)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        publishers.append(subprocess.Popen(command, cwd=PROJECT, **pipes))
    for publisher in publishers:
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()

    def consistent() -> list[str]:
        """The version of each day from the 20th, which has to be as if one publisher had come after the other."""
        found = versions(destination)
        assert list(found) == [f"2024-03-{day}" for day in range(20, 28)]
        assert all(len(rows_of_day) == 1 for rows_of_day in found.values())
        seen = [next(iter(rows_of_day)) for rows_of_day in found.values()]
        only_a, shared, only_b = set(seen[:3]), set(seen[3:5]), set(seen[5:])
        assert len(only_a) == len(shared) == len(only_b) == 1
        assert shared <= only_a | only_b
        return seen

    observed = []
    while any(publisher.poll() is None for publisher in publishers):
        try:
            observed.append(consistent())
        except FileNotFoundError:  # replaced twice while we read: such a reader resolves `current` again
            continue
    assert [publisher.returncode for publisher in publishers] == [0, 0]
    final = consistent()
    assert (final[0], final[-1]) == ("a4", "b4")
    assert len(list((destination / "snapshots").iterdir())) == 2
    for publisher in publishers:
        publisher.stdin.close()
        publisher.stdout.close()

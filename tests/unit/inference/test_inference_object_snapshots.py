"""Snapshots in an object store against a model of them: a dict that is replaced in one step, whoever races."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tram_examples import Predicted

from loopline.components.errors import LooplineError
from loopline.components.inference import object_snapshots
from loopline.components.inference.object_snapshots import ObjectSnapshots
from loopline.components.inference.publish import publish
from loopline.components.io import conditional_put, storage

PARTITIONS = ["a", "b", "c", "d"]


def replace(snapshots: ObjectSnapshots, replaced: set[str], content: dict[str, str]) -> str:
    def write(folder: Path) -> None:
        for name, text in content.items():
            (folder / name).mkdir()
            (folder / name / "part").write_text(text)

    return snapshots.replace(replaced, write)


def readable(uri: str) -> dict[str, str]:
    """What is below a snapshot, read as a reader would: through the store, not through our records."""
    store, path = storage.filesystem(uri)
    found = {}
    for name in storage.names(uri):
        with store.open_input_stream(f"{path}/{name}") as stream:
            found[name.removesuffix("/part")] = stream.read().decode()
    return found


def kept(root: str) -> set[str]:
    return {name.partition("/")[0] for name in storage.names(f"{root}/snapshots")}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from(PARTITIONS)),
            st.dictionaries(st.sampled_from(PARTITIONS), st.sampled_from(["1", "2", "3"])),
            st.booleans(),
        ),
        max_size=5,
    ),
)
def test_readers_see_the_last_whole_replacement(
    bucket: str, steps: list[tuple[set[str], dict[str, str], bool]]
) -> None:
    root = f"{bucket}/{uuid.uuid4()}"
    snapshots = ObjectSnapshots(root)
    expected: dict[str, str] = {}
    former = None
    for replaced, texts, fails in steps:
        content = {name: text for name, text in texts.items() if name in replaced}
        if fails:
            with pytest.raises(ZeroDivisionError):
                snapshots.replace(replaced, lambda _: 1 // 0)
        else:
            before, expected = expected, {k: v for k, v in expected.items() if k not in replaced} | content
            shown = replace(snapshots, replaced, content)
            assert (shown == former) == (former is not None and before == expected)
            former = shown
        if snapshots.current:
            assert readable(snapshots.current) == expected
        assert len(kept(root)) <= 2


def test_the_snapshot_that_a_reader_has_stays_until_the_second_replacement(bucket: str) -> None:
    snapshots = ObjectSnapshots(bucket)
    replace(snapshots, {"a"}, {"a": "1"})
    had = snapshots.current or ""
    replace(snapshots, {"a"}, {"a": "2"})
    assert readable(had) == {"a": "1"}
    replace(snapshots, {"a"}, {"a": "3"})
    assert readable(had) == {}


def test_two_writers_cannot_both_win(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer whose base is no longer current starts over, and so keeps what the other one published."""
    snapshots = ObjectSnapshots(bucket)
    replace(snapshots, {"a", "b"}, {"a": "0", "b": "0"})
    put = storage.put
    raced = []

    def slow(source: Path, uri: str) -> None:
        put(source, uri)
        if not raced:
            raced.append(uri)
            replace(ObjectSnapshots(bucket), {"b"}, {"b": "other"})

    monkeypatch.setattr(object_snapshots.storage, "put", slow)
    replace(snapshots, {"a"}, {"a": "mine"})
    assert readable(snapshots.current or "") == {"a": "mine", "b": "other"}
    assert storage.names(raced[0]) == []
    assert len(kept(bucket)) == 2


def test_what_is_built_upon_may_vanish_under_a_slow_writer(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = ObjectSnapshots(bucket)
    replace(snapshots, {"a", "b"}, {"a": "0", "b": "0"})
    copy = storage.copy
    raced: list[bool] = []

    def slow(uri: str, to: str, files: list[str]) -> None:
        if not raced:
            raced.append(True)
            for text in ("1", "2"):
                replace(ObjectSnapshots(bucket), {"b"}, {"b": text})
        copy(uri, to, files)

    monkeypatch.setattr(object_snapshots.storage, "copy", slow)
    replace(snapshots, {"a"}, {"a": "mine"})
    assert readable(snapshots.current or "") == {"a": "mine", "b": "2"}


def test_of_many_writers_each_gets_its_turn(bucket: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: replace(ObjectSnapshots(bucket), {name}, {name: name}), PARTITIONS))
    assert readable(ObjectSnapshots(bucket).current or "") == {name: name for name in PARTITIONS}


def test_who_never_gets_a_turn_says_so(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional_put, "replace", lambda *_: False)
    with pytest.raises(LooplineError, match=r"others published to .* 8 times .*: nothing of it was published"):
        replace(ObjectSnapshots(bucket), {"a"}, {"a": "1"})
    assert kept(bucket) == set()


def test_a_killed_writer_leaves_nothing_visible_and_the_next_tidies(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = ObjectSnapshots(bucket)
    replace(snapshots, {"a"}, {"a": "1"})

    def dies(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(conditional_put, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            replace(snapshots, {"a"}, {"a": "2"})
    assert readable(snapshots.current or "") == {"a": "1"}
    assert len(kept(bucket)) == 2
    replace(snapshots, {"a"}, {"a": "3"})
    replace(snapshots, {"a"}, {"a": "4"})
    assert readable(snapshots.current or "") == {"a": "4"}
    assert len(kept(bucket)) == 2


def test_publishing_again_heals_what_somebody_deleted(bucket: str) -> None:
    snapshots = ObjectSnapshots(bucket)
    replace(snapshots, {"a"}, {"a": "1"})
    storage.remove(f"{snapshots.current}/a")
    replace(snapshots, {"a"}, {"a": "1"})
    assert readable(snapshots.current or "") == {"a": "1"}


def test_a_damaged_current_json_is_one_sentence(bucket: str) -> None:
    for content in (b"no json", b"[]", b'{"format": "other"}', b'{"format": "loopline.snapshot/1"}'):
        tag = (conditional_put.read(f"{bucket}/current.json") or (b"", None))[1]
        assert conditional_put.replace(f"{bucket}/current.json", content, tag)
        with pytest.raises(LooplineError, match=r"current.json is damaged .* restore it from a backup"):
            replace(ObjectSnapshots(bucket), {"a"}, {"a": "1"})


def published(root: str) -> ds.Dataset:
    store, path = storage.filesystem(ObjectSnapshots(root).current or "")
    return ds.dataset(path, filesystem=store, partitioning="hive")


def test_predictions_are_published_as_on_a_disk(
    usecase: str, predicted: Predicted, bucket: str, tmp_path: Path
) -> None:
    window: dict[str, Any] = predicted("2024-03-20", "2024-03-23", "1")
    receipt = publish(usecase, destination=f"{bucket}/predictions/", **window)
    on_disk = publish(usecase, destination=tmp_path / "disk", **window)
    assert {**receipt, "path": "", "snapshot": ""} == {**on_disk, "path": "", "snapshot": ""}
    assert receipt["path"] == f"{bucket}/predictions/current.json"
    again = publish(usecase, destination=f"{bucket}/predictions", **window)
    assert again["snapshot"] == receipt["snapshot"]
    publish(usecase, destination=f"{bucket}/predictions", **predicted("2024-03-21", "2024-03-22", "2"))
    table = published(f"{bucket}/predictions").to_table()
    versions = {(row["date"], row["model_version"]) for row in table.select(["date", "model_version"]).to_pylist()}
    assert versions == {("2024-03-20", "1"), ("2024-03-21", "2"), ("2024-03-22", "1")}
    pointed = json.loads((conditional_put.read(f"{bucket}/predictions/current.json") or (b"", ""))[0])
    assert pointed["snapshot"].startswith("000002-")
    assert sorted(pointed["partitions"]) == ["date=2024-03-20", "date=2024-03-21", "date=2024-03-22"]


def test_what_killed_uploads_left_is_no_partition(bucket: str) -> None:
    store, path = storage.filesystem(bucket)
    assert isinstance(store, pafs.S3FileSystem)
    store.create_dir(f"{path}/snapshots/000001-folder-marker")
    replace(ObjectSnapshots(bucket), {"a"}, {"a": "1"})
    assert readable(ObjectSnapshots(bucket).current or "") == {"a": "1"}

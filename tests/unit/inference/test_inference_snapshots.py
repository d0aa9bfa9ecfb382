"""Snapshots against a model of them: a dict that is replaced in one step."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.errors import LooplineError
from loopline.components.inference.snapshots import Snapshots

PARTITIONS = ["a", "b", "c", "d"]


def replace(snapshots: Snapshots, replaced: set[str], content: dict[str, str]) -> Path:
    def write(folder: Path) -> None:
        for name, text in content.items():
            (folder / name).mkdir()
            (folder / name / "part").write_text(text)

    return snapshots.link.parent / "snapshots" / snapshots.replace(replaced, write)


def readable(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.glob("*/part")}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from(PARTITIONS)),
            st.dictionaries(st.sampled_from(PARTITIONS), st.sampled_from(["1", "2", "3"])),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_readers_see_the_last_whole_replacement(steps: list[tuple[set[str], dict[str, str], bool]]) -> None:
    expected: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as root:
        snapshots = Snapshots(root)
        former = None
        for replaced, texts, fails in steps:
            content = {name: text for name, text in texts.items() if name in replaced}
            if fails:
                with pytest.raises(ZeroDivisionError):
                    snapshots.replace(replaced, lambda _: 1 // 0)
            else:
                before, expected = expected, {k: v for k, v in expected.items() if k not in replaced} | content
                shown = replace(snapshots, replaced, content)
                assert shown == snapshots.current
                assert (shown == former) == (former is not None and before == expected)
                former = shown
            if snapshots.current:
                assert readable(snapshots.link) == expected
            kept = [path.name for path in (Path(root) / "snapshots").iterdir()]
            assert len(kept) <= 2


def test_the_snapshot_that_readers_had_outlives_one_that_was_never_shown(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    replace(snapshots, {"a"}, {"a": "1"})
    had = replace(snapshots, {"a"}, {"a": "2"})
    (tmp_path / "snapshots" / "000003").mkdir()  # a writer was killed before it turned readers to it
    shown = replace(snapshots, {"a"}, {"a": "3"})
    assert sorted((tmp_path / "snapshots").iterdir()) == [had, shown]
    assert readable(had) == {"a": "2"}


def test_a_link_to_what_is_gone_is_a_fresh_start(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    replace(snapshots, {"a"}, {"a": "1"}).rename(tmp_path / "gone")
    assert snapshots.current is None
    replace(snapshots, {"b"}, {"b": "1"})
    assert readable(snapshots.link) == {"b": "1"}


def test_without_hard_links_partitions_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: str) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    snapshots = Snapshots(tmp_path)
    replace(snapshots, {"a", "b"}, {"a": "1", "b": "1"})
    replace(snapshots, {"b"}, {"b": "2"})
    assert readable(snapshots.link) == {"a": "1", "b": "2"}


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder that this process may not write; root gives up its rights for that long."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        folder.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(os.getuid())
            folder.chmod(0o755)


def test_a_root_that_may_not_be_written_is_one_sentence(forbidden: Path) -> None:
    with pytest.raises(LooplineError, match=r"cannot be written \(Permission denied\): nothing was published"):
        replace(Snapshots(forbidden / "published"), {"a"}, {"a": "1"})

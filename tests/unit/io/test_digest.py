"""Digests: equal for equal content wherever it is, different for anything else."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from loopline.components.io import digest

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


def test_bytes_and_files_agree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest.of_bytes(b"abc") == digest.of_file(tmp_path / "file") == digest.of_tree(tmp_path / "file") == known


@given(values)
def test_a_value_has_the_digest_of_what_is_read_back(value: object) -> None:
    assert digest.of_value(value) == digest.of_value(json.loads(json.dumps(value)))


def test_the_order_of_keys_is_no_content_but_that_of_items_is() -> None:
    assert digest.of_value({"a": 1, "b": 2}) == digest.of_value({"b": 2, "a": 1})
    assert digest.of_value([1, 2]) != digest.of_value([2, 1])
    assert digest.of_value({10: "x", 9: "y"}) == digest.of_value({"10": "x", "9": "y"})


def make_tree(root: Path) -> Path:
    for name, content in {"b.txt": "1", "a/c.txt": "2"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_a_tree_is_its_names_and_contents_not_its_place(tmp_path: Path) -> None:
    one, other = make_tree(tmp_path / "one"), make_tree(tmp_path / "other")
    assert digest.of_tree(one) == digest.of_tree(other)
    assert list(digest.of_files(one)) == ["a/c.txt", "b.txt"]
    (other / "a" / "c.txt").rename(other / "a" / "d.txt")
    assert digest.of_tree(one) != digest.of_tree(other)


def test_hidden_files_and_bytecode_are_no_content(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "root")
    before = digest.of_tree(root)
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x").touch()
    (root / "a" / "__pycache__").mkdir()
    (root / "a" / "__pycache__" / "x.pyc").touch()
    assert digest.of_tree(root) == before


def test_a_pattern_chooses(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "root")
    (root / "x.py").touch()
    assert list(digest.of_files(root, "*.py")) == ["x.py"]

"""An object that is replaced only by who has seen what is there."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from loopline.components.errors import LooplineError
from loopline.components.io import conditional_put, object_store
from tests.object_store import free_port


def test_only_who_has_seen_it_replaces_it(bucket: str) -> None:
    uri = f"{bucket}/deep/current.json"
    assert conditional_put.read(uri) is None
    assert conditional_put.replace(uri, b"1", None)
    assert not conditional_put.replace(uri, b"2", None)
    content, tag = conditional_put.read(uri) or (b"", "")
    assert content == b"1"
    assert conditional_put.replace(uri, b"2", tag)
    assert not conditional_put.replace(uri, b"3", tag)
    assert (conditional_put.read(uri) or (b"", ""))[0] == b"2"


def test_of_many_at_once_one_wins(bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: bool(conditional_put.replace(f"{bucket}/x", str(n).encode(), None)), range(16)))
    assert sum(won) == 1
    assert (conditional_put.read(f"{bucket}/x") or (b"", ""))[0] == str(won.index(True)).encode()


def test_one_that_was_deleted_has_changed(bucket: str) -> None:
    assert not conditional_put.replace(f"{bucket}/x", b"2", '"tag-of-what-is-gone"')


def test_what_is_wrong_is_one_sentence(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "CONNECT_SECONDS", 1)
    with pytest.raises(LooplineError, match="there is no bucket 'nobody-made-this' at http"):
        conditional_put.read("s3://nobody-made-this/x")
    with pytest.raises(LooplineError, match="there is no bucket 'nobody-made-this' at http"):
        conditional_put.replace("s3://nobody-made-this/x", b"", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LooplineError, match="cannot be reached"):
        conditional_put.read(f"{bucket}/x")

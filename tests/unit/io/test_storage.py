"""Copying by URI: the same for a folder and for an object store."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from loopline.components.contract import dataset
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import object_store, objects, storage
from tests.object_store import free_port


@pytest.fixture(params=["path", "file", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URI to write to, of each kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some place"
    folder = tmp_path / "target"
    return str(folder) if request.param == "path" else folder.as_uri()


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def keys(uri: str) -> list[str]:
    store, path = storage.filesystem(uri)
    return sorted(info.path for info in store.get_file_info(pafs.FileSelector(path, recursive=True)) if info.is_file)


def test_a_tree_comes_back_as_it_was(target: str, tmp_path: Path) -> None:
    source = tree(tmp_path / "model", model_json="{}", deep__er__weights="w" * 100_000, empty="")
    storage.put(source, f"{target}/model")
    fetched = storage.fetch(f"{target}/model", tmp_path / "down", manifest="model.json")
    assert fetched == tmp_path / "down" / "model"
    assert content(fetched) == content(source)


def test_a_file_comes_back_as_it_was(target: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(bytes(range(256)))
    storage.put(tmp_path / "one", f"{target}/receipt")
    assert storage.fetch(f"{target}/receipt", tmp_path / "down").read_bytes() == bytes(range(256))


def test_a_tree_replaces_the_one_before(target: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", dataset_json="1", old="x", both="1"), f"{target}/data")
    storage.put(tree(tmp_path / "b", dataset_json="2", both="2"), f"{target}/data")
    assert content(storage.fetch(f"{target}/data", tmp_path / "down")) == {"dataset.json": "2", "both": "2"}


def test_a_tree_is_fetched_in_place_of_an_older_copy(target: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", dataset_json="1"), f"{target}/data")
    tree(tmp_path / "down" / "data", left_over="x")
    assert content(storage.fetch(f"{target}/data", tmp_path / "down")) == {"dataset.json": "1"}


def test_a_tree_without_its_manifest_is_refused(target: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", weights="w"), f"{target}/model")
    with pytest.raises(LooplineError, match=r"is not complete: it has no model.json"):
        storage.fetch(f"{target}/model", tmp_path / "down", manifest="model.json")
    assert not (tmp_path / "down" / "model").exists()


def test_nothing_there_is_one_sentence(target: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", x="x"), f"{target}/other")
    with pytest.raises(LooplineError, match=r"there is nothing at .*/model"):
        storage.fetch(f"{target}/model", tmp_path / "down")
    with pytest.raises(LooplineError, match=r"there is nothing at .*to put"):
        storage.put(tmp_path / "absent", f"{target}/absent")


def test_a_manifest_is_put_last_and_taken_away_first(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that is killed in the middle leaves no tree that passes for whole, neither the old nor the new."""
    storage.put(tree(tmp_path / "a", model_json="1", weights="1"), f"{bucket}/model")
    upload = objects.upload

    def dies(path: Path, uri: str) -> None:
        if uri.endswith("weights"):
            raise KeyboardInterrupt
        upload(path, uri)

    monkeypatch.setattr(objects, "upload", dies)
    with pytest.raises(KeyboardInterrupt):
        storage.put(tree(tmp_path / "b", model_json="2", weights="2", more="2"), f"{bucket}/model")
    assert not any(key.endswith("model.json") for key in keys(bucket))


def test_a_shortened_object_is_found(bucket: str, tmp_path: Path) -> None:
    written = dataset.write(tmp_path / "data", {"t": pa.table({"x": list(range(1000))})}, {})
    storage.put(written.path, f"{bucket}/data")
    store, path = storage.filesystem(f"{bucket}/data/t.parquet")
    with store.open_input_stream(path) as stream:
        whole = stream.read()
    with store.open_output_stream(path) as stream:
        stream.write(whole[:-10])
    with pytest.raises(CorruptArtifactError, match="does not have the digest it was written with"):
        dataset.Dataset.open(storage.fetch(f"{bucket}/data", tmp_path / "down", manifest="dataset.json"))


def test_a_missing_bucket_is_one_sentence(bucket: str, tmp_path: Path) -> None:
    for act in (
        lambda: storage.fetch("s3://nobody-made-this/model", tmp_path / "down"),
        lambda: storage.put(tree(tmp_path / "a", x="x"), "s3://nobody-made-this/model"),
        lambda: storage.put(tmp_path / "a" / "x", "s3://nobody-made-this/x"),
    ):
        with pytest.raises(LooplineError, match="there is no bucket 'nobody-made-this' at http"):
            act()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("gs://bucket/x", "gs://bucket/x cannot be read or written; give a path, file:///path or s3://bucket/key"),
        ("s3://", "s3:// names no bucket"),
    ],
)
def test_an_address_that_is_none(uri: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match=sentence):
        storage.fetch(uri, tmp_path)


def test_no_credentials_are_found_before_anything_is_asked(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(LooplineError, match="AWS_SECRET_ACCESS_KEY is not, so"):
        storage.filesystem(f"{bucket}/x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(LooplineError, match=r"there are no credentials for s3://.*Secret loopline-s3"):
        storage.filesystem(f"{bucket}/x")


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that takes connections and always says the same, or, given None, never anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            kept = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_store_that_cannot_be_reached_is_told_in_bounded_time(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 1)
    with answering(None) as silent:
        for address in (f"http://127.0.0.1:{free_port()}", silent):
            monkeypatch.setenv("AWS_ENDPOINT_URL", address)
            begun = time.monotonic()
            with pytest.raises(LooplineError, match=f"{address} cannot be reached"):
                storage.fetch(f"{bucket}/x", tmp_path)
            assert time.monotonic() - begun < 15


def test_refused_access_is_one_sentence(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(head + body) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(LooplineError, match=r"refuses access to s3://.*: check AWS_ACCESS_KEY_ID"):
            storage.put(tree(tmp_path / "a", x="x"), f"{bucket}/x")


def test_a_copy_that_ends_early_is_no_copy(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put(tree(tmp_path / "a", x="x" * 1000), f"{bucket}/a")
    files = storage._files
    monkeypatch.setattr(storage, "_files", lambda *where: {name: size + 1 for name, size in files(*where).items()})
    with pytest.raises(LooplineError, match=r"1000 of 1001 bytes of .* arrived"):
        storage.fetch(f"{bucket}/a", tmp_path / "down")
    assert not (tmp_path / "down" / "a").exists()


def test_credentials_of_a_profile_are_used(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = a\naws_secret_access_key = b\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "team")
    storage.put(tree(tmp_path / "a", x="x"), f"{bucket}/a")
    assert storage.names(f"{bucket}/a") == ["x"]


@pytest.mark.parametrize("uri", ["s3://bucket//x", "s3://bucket/../x"])
def test_an_address_that_no_store_takes(uri: str, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match="has an empty or relative part"):
        storage.fetch(uri, tmp_path)


def test_one_object_is_removed_too(bucket: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", x="x") / "x", f"{bucket}/a.failure")
    storage.remove(f"{bucket}/a.failure")
    storage.remove(f"{bucket}/a.failure")
    assert storage.names(bucket) == []


def test_an_object_of_several_parts_comes_back_as_it_was(bucket: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000
    (tmp_path / "large").write_bytes(content)
    storage.put(tmp_path / "large", f"{bucket}/large")
    assert storage.fetch(f"{bucket}/large", tmp_path / "down").read_bytes() == content


def test_what_is_removed_is_gone_and_may_be_removed_again(target: str, tmp_path: Path) -> None:
    storage.put(tree(tmp_path / "a", x="x", y_json="y"), target)
    storage.put(tmp_path / "a" / "x", f"{target}.failure")
    for _ in range(2):
        storage.remove(target)
        storage.remove(f"{target}.failure")
        assert storage.names(target) == []
        assert storage.names(f"{target}.failure") == []

import os
import shutil
import threading
import time

import pytest

from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io.digest import of_file
from loopline.components.registry.client import opened
from loopline.components.registry.fetch import fetch_model, resolve
from loopline.components.registry.files import _root
from loopline.components.registry.models import history, models
from loopline.components.registry.register import register

USECASE, NAME = "loopline.usecases.flights", "flights"


def test_version_carries_where_it_comes_from(home):
    assert home.register(1) == 1
    (version,) = models(NAME, home.registry)
    assert version.version == 1
    assert version.aliases == ("candidate",)
    assert version.digest == home.model(1).digest
    assert version.task == "binary_classification"
    assert version.metrics == {"2013-05": {"auc": 0.71}}
    assert version.lineage == {"examples": "sha256:1", "code": "abc", "feature_views": '{"weather": "sha256:w"}'}
    assert abs(version.created.timestamp() - time.time()) < 60


def test_same_bytes_are_registered_once_and_only_the_alias_moves(home):
    assert home.register(1) == 1
    assert home.register(2) == 2
    assert home.register(1, "challenger") == 1
    assert home.register(1) == 1
    assert {v.version: v.aliases for v in models(NAME, home.registry)} == {2: (), 1: ("candidate", "challenger")}


def test_months_accumulate_on_a_version(home):
    home.register(1)
    for months in ({"2013-07": 0.6, "2013-08": 0.5}, {"2013-05": 0.9}):
        evaluation = home.evaluation(1, months)
        assert register(USECASE, home.registry, "candidate", home.model(1).path, evaluation) == 1
    (version,) = models(NAME, home.registry)
    assert version.metrics == {"2013-05": {"auc": 0.9}, "2013-07": {"auc": 0.6}, "2013-08": {"auc": 0.5}}


def test_newest_version_is_listed_first(stocked):
    assert [version.version for version in models(NAME, stocked.registry)] == [3, 2, 1]


@pytest.mark.parametrize("alias", ["champion", "previous", "latest", "v1", "", "Candidate"])
def test_reserved_alias_is_refused(home, alias):
    with pytest.raises(LooplineError, match="candidate or challenger"):
        home.register(1, alias)


def test_evaluation_of_another_model_is_refused(home):
    with pytest.raises(LooplineError, match="is of another model"):
        register(USECASE, home.registry, "candidate", home.model(1).path, home.evaluation(2))
    assert models(NAME, home.registry) == []


def test_model_of_another_use_case_is_refused(home):
    model = home.model(1, name="taxis")
    with pytest.raises(LooplineError, match="is a model of taxis"):
        register(USECASE, home.registry, "candidate", model.path, home.evaluation(2, of=model.digest))


def test_damaged_model_is_refused(home):
    model, evaluation = home.model(1), home.evaluation(1)
    model.onnx.write_bytes(b"other")
    with pytest.raises(CorruptArtifactError, match=r"model\.onnx is not the file"):
        register(USECASE, home.registry, "candidate", model.path, evaluation)


def test_fetched_model_is_the_registered_one(home, tmp_path):
    home.register(1)
    shutil.rmtree(home.model(1).path)  # the registry needs nothing outside itself
    for reference in ("1", "candidate"):
        fetched = fetch_model(USECASE, home.registry, reference, tmp_path / reference)
        assert fetched.onnx.read_bytes() == bytes([1]) * 1000
        assert fetched.path == tmp_path / reference


def test_registry_can_be_moved(stocked, tmp_path):
    moved = stocked.copy(tmp_path / "elsewhere # 2")
    shutil.rmtree(moved.folder / "model-1")
    fetch_model(USECASE, moved.registry, "champion", tmp_path / "fetched")
    moved.register(4)
    fetch_model(USECASE, moved.registry, "4", tmp_path / "new")
    assert len(list((moved.folder / "artifacts").iterdir())) == 4
    assert len(list((stocked.folder / "artifacts").iterdir())) == 3


@pytest.mark.parametrize("damage", ["change", "lose", "add", "lose all"])
def test_damaged_stored_file_is_found(three, tmp_path, damage):
    (file,) = (path for path in three.folder.glob("artifacts/**/model.onnx") if path.read_bytes()[0] == 2)
    match damage:
        case "change":
            file.write_bytes(b"other")
        case "lose":
            file.unlink()
        case "add":
            file.with_name("other.onnx").write_bytes(b"")
        case "lose all":
            shutil.rmtree(file.parents[3])
    with pytest.raises(CorruptArtifactError, match="version 2 of flights"):
        fetch_model(USECASE, three.registry, "2", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("reference", ["7", "best", "latest", "0", "", "1.0", "x' or '1'='1"])
def test_unknown_version_lists_what_there_is(stocked, tmp_path, reference):
    with pytest.raises(LooplineError) as caught:
        fetch_model(USECASE, stocked.registry, reference, tmp_path / "fetched")
    assert f"no version or alias '{reference}'; it has 1 (champion), 2, 3 (challenger)" in str(caught.value)
    assert not (tmp_path / "fetched").exists()


def test_empty_registry_has_no_models(home, tmp_path):
    assert models(NAME, home.registry) == []
    assert history(NAME, home.registry) == []
    assert resolve(NAME, home.registry, "champion") is None
    assert resolve(NAME, home.registry, "candidate") is None
    with pytest.raises(LooplineError, match="no version of flights is registered yet"):
        fetch_model(USECASE, home.registry, "champion", tmp_path / "fetched")


def test_registry_that_does_not_exist_is_not_made_by_looking(tmp_path):
    registry = f"sqlite:///{tmp_path}/none/mlflow.db"
    assert models(NAME, registry) == []
    assert resolve(NAME, registry, "champion") is None
    with pytest.raises(LooplineError, match="there is no model registry at"):
        fetch_model(USECASE, registry, "champion", tmp_path / "fetched")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("registry", ["/some/folder", "mlruns", "file:///some/folder", ""])
def test_what_is_no_registry_is_refused(registry):
    with pytest.raises(LooplineError, match="is not a model registry; write sqlite:///"):
        resolve(NAME, registry, "champion")


def test_damaged_database_is_refused_at_once(home):
    (home.folder / "mlflow.db").write_bytes(b"this is no database, " * 100)
    started = time.monotonic()
    with pytest.raises(LooplineError, match=r"cannot be read \(file is not a database\)"):
        home.register(1)
    assert time.monotonic() - started < 5


def test_full_disk_leaves_no_version(home, monkeypatch):
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(LocalArtifactRepository, "log_artifacts", full)
        with pytest.raises(LooplineError, match="the disk is full: the model registry"):
            home.register(1)
    assert models(NAME, home.registry) == []
    assert home.register(1) == 1


def test_registry_in_a_place_that_cannot_be_written_is_explained(home):
    (home.folder / "file").write_text("no folder")
    with pytest.raises(LooplineError, match=r"the model registry .* cannot be used: .*file"):
        register(
            USECASE, f"sqlite:///{home.folder}/file/mlflow.db", "candidate", home.model(1).path, home.evaluation(1)
        )


def test_abandoned_copies_are_given_up_but_no_other(home):
    home.register(1)
    with opened(home.registry) as client:
        experiment = client.get_experiment_by_name("flights/registry").experiment_id
        now = int(1000 * time.time())
        old = client.create_run(experiment, start_time=now - 2 * 24 * 3600 * 1000).info.run_id
        running = client.create_run(experiment, start_time=now).info.run_id
    home.register(2)
    with opened(home.registry) as client:
        left = {run.info.run_id for run in client.search_runs([experiment])}
        assert old not in left
        assert running in left
        assert {version.run for version in models(NAME, home.registry)} < left


def test_racing_registrations_of_the_same_bytes_make_one_version(home, fork):
    home.evaluation(1)
    home.register(2)
    children = [fork(lambda: home.register(1)) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert {version.digest for version in models(NAME, home.registry)} == {home.model(1).digest, home.model(2).digest}
    with opened(home.registry) as client:
        assert len(client.search_model_versions(f"name = '{NAME}'")) == 2


def test_database_is_made_whole_or_not_at_all(tmp_path, fork, monkeypatch):
    from loopline.components.io import mlflow_database as database

    path = tmp_path / "new" / "mlflow.db"

    def die(uri: str) -> None:
        database.path_of(uri).write_bytes(b"half")
        os._exit(9)

    assert fork(lambda: database.create(path, die)).wait() == 9
    assert not path.exists()

    barrier = threading.Barrier(2)

    def migrate(text: bytes) -> None:
        def write(uri: str) -> None:
            database.path_of(uri).write_bytes(text)
            barrier.wait(10)

        database.create(path, write)

    racers = [threading.Thread(target=migrate, args=(text,)) for text in (b"one", b"two")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert path.read_bytes() in (b"one", b"two")
    kept = of_file(path)
    database.create(path, die)
    assert of_file(path) == kept


def test_artifact_root_survives_odd_folder_names(tmp_path):
    assert _root(tmp_path / "a b#c" / "mlflow.db").endswith("/a%20b%23c/artifacts")

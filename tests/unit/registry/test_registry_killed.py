"""Killed around each write to MLflow, and while copying: nothing is half there, and the next try completes it.

What lies between two writes changes nothing, so being killed before each write is being killed anywhere.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

from loopline.components.registry import aliases
from loopline.components.registry.client import opened
from loopline.components.registry.fetch import fetch_model, resolve
from loopline.components.registry.models import history, models
from loopline.components.registry.rollback import rollback
from loopline.components.registry.versions import read_all

USECASE, NAME = "loopline.usecases.flights", "flights"


def dying(write: int, work: Callable[[], object]) -> Callable[[], object]:
    """Work whose process ends, without any clean-up, when it is about to make its n-th write to MLflow."""

    def attempt() -> None:
        import mlflow.tracking

        made = 0

        class Mortal(mlflow.tracking.MlflowClient):
            def __getattribute__(self, name: str) -> object:
                nonlocal made
                if name.startswith(("create_", "set_", "delete_", "log_")):
                    made += 1
                    if made == write:
                        os._exit(9)
                return super().__getattribute__(name)

        mlflow.tracking.MlflowClient = Mortal
        work()

    return attempt


def raw_aliases(home) -> dict[str, int]:
    """The aliases as they are in the database, not as the promotion log has them."""
    with closing(sqlite3.connect(home.folder / "mlflow.db")) as connection:
        rows = connection.execute("select alias, version from registered_model_aliases where name = ?", [NAME])
        return dict(rows.fetchall())


def test_killed_registration_is_completed_by_the_next(three, tmp_path, fork):
    for write in range(1, 20):
        three.reset()
        three.evaluation(4)
        status = fork(dying(write, lambda: three.register(4))).wait()
        with opened(three.registry) as client:
            for version in read_all(client, NAME)[3:]:  # if it is there, it is whole
                assert version.metrics
                assert version.lineage
                fetch_model(USECASE, three.registry, str(version.version), tmp_path / str(write))
        assert three.register(4) == 4
        assert [version.version for version in models(NAME, three.registry)] == [4, 3, 2, 1]
        assert resolve(NAME, three.registry, "candidate") == 4
        if status == 0:
            break
    assert write > 5


def test_registration_killed_while_copying_leaves_no_version(home, tmp_path, fork):
    home.evaluation(1)

    def work() -> None:
        import shutil

        copied = shutil.copyfile

        def copy_and_die(source, target, *args, **kwargs):
            copied(source, target)
            os.truncate(target, 3)
            os._exit(9)

        shutil.copyfile = copy_and_die
        home.register(1)

    assert fork(work).wait() == 9
    assert list(home.folder.glob("artifacts/*/artifacts/model/**/*"))
    assert models(NAME, home.registry) == []
    assert home.register(1) == 1
    fetch_model(USECASE, home.registry, "1", tmp_path / "fetched")


def test_readers_see_a_killed_promotion_and_the_next_change_completes_it(three, fork):
    decided = []
    for write in range(1, 20):
        three.reset()
        three.verdict(3)
        status = fork(dying(write, lambda: three.promote(3, 1))).wait()
        shown = raw_aliases(three)
        assert shown["champion"] in (1, 3)
        recorded = len(history(NAME, three.registry)) == 2
        decided.append(recorded)
        assert resolve(NAME, three.registry, "champion") == (3 if recorded else 1)
        assert raw_aliases(three) == shown  # reading changed nothing
        if recorded:
            with opened(three.registry) as client:
                aliases.reconcile(client, NAME)
            assert raw_aliases(three) == {"champion": 3, "previous": 1}
        assert three.promote(3, 1) == "promoted"
        assert raw_aliases(three) == {"champion": 3, "previous": 1}
        if status == 0:
            break
    assert decided == sorted(decided)  # once recorded, it stays recorded
    assert decided.count(False) == 1
    assert decided.count(True) >= 4


def test_killed_rollback_is_rolled_forward(three, fork):
    for write in range(1, 20):
        three.reset()
        three.promote(2, 1)
        status = fork(dying(write, lambda: rollback(NAME, three.registry))).wait()
        assert raw_aliases(three)["champion"] in (1, 2)
        recorded = len(history(NAME, three.registry)) == 3
        assert resolve(NAME, three.registry, "champion") == (1 if recorded else 2)
        if status == 0:
            assert recorded
            break


def test_another_promotion_completes_a_killed_one(three, fork):
    """However far the first came, exactly one of two against the same champion wins."""
    first, second = 3, 2
    for write in range(1, 20):
        three.reset()
        three.verdict(first)
        status = fork(dying(write, lambda: three.promote(first, 1))).wait()
        outcome = three.promote(second, 1)
        again = three.promote(first, 1)
        assert sorted([outcome, again]) == ["kept", "promoted"]
        assert raw_aliases(three)["champion"] == (second if outcome == "promoted" else first)
        assert raw_aliases(three)["previous"] == 1
        if status == 0:
            break

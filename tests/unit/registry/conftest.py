import os
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from loopline.components.contract import model as model_artifact
from loopline.components.contract.evaluation import Curves, Evaluation, Verdict
from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import Signature
from loopline.components.io import mlflow_database as database
from loopline.components.io.atomic import write_text
from loopline.components.registry.promote import promote
from loopline.components.registry.register import register

USECASE = "loopline.usecases.flights"
NAME = "flights"


@dataclass(frozen=True)
class Home:
    """A registry on SQLite in a folder, and artifacts to put into it.

    ``snapshot`` is what the folder is filled from. The tests take turns in one folder: MLflow and SQLAlchemy prepare
    themselves for a database address but once.
    """

    folder: Path
    snapshot: Path | None = None
    server: str | None = None

    @property
    def registry(self) -> str:
        return self.server or f"sqlite:///{self.folder}/mlflow.db"

    def model(self, seed: int, *, name: str = NAME) -> model_artifact.Model:
        folder = self.folder / f"model-{seed}"
        graph = folder / "repository" / name / "1" / "model.onnx"
        if not graph.exists():
            graph.parent.mkdir(parents=True)
            graph.write_bytes(bytes([seed]) * 1000)
            (folder / "repository" / name / "config.pbtxt").write_text("max_batch_size: 0\n")
            (folder / "weights.safetensors").write_bytes(bytes([seed]) * 10)
            facts = {"examples": f"sha256:{seed}", "code": "abc", "feature_views": {"weather": "sha256:w"}, "rows": 5}
            model_artifact.seal(folder, name, Signature((Feature("x", "number"),), "probability"), facts)
        return model_artifact.Model.open(folder)

    def evaluation(self, seed: int, months: dict[str, float] | None = None, *, of: str | None = None) -> Path:
        months = months or {"2013-05": 0.7 + seed / 100}
        evaluation = Evaluation(
            usecase=USECASE,
            task="binary_classification",
            model=of or self.model(seed).digest,
            examples="sha256:examples",
            start="2013-05-01",
            end="2013-06-01",
            rows=10,
            labelled=9,
            metrics={"auc": 0.7},
            months={month: {"auc": auc} for month, auc in months.items()},
            curves=Curves(),
            slices=[],
            scenarios=[],
        )
        folder = self.folder / f"evaluation-{seed}-{'-'.join(months)}"
        write_text(folder / "evaluation.json", evaluation.model_dump_json())  # several processes may at once
        return folder

    def verdict(self, seed: int, *, passed: bool = True) -> Path:
        verdict = Verdict(model=self.model(seed).digest, passed=passed, reason="auc 0.6 is below 0.7", gates=[])
        path = self.folder / f"verdict-{seed}-{passed}.json"
        path.write_text(verdict.model_dump_json())
        return path

    def receipt(self, seed: int) -> Path:
        return self.folder / f"receipt-{seed}.json"

    def register(self, seed: int, alias: str = "candidate") -> int:
        return register(USECASE, self.registry, alias, self.model(seed).path, self.evaluation(seed))

    def promote(self, seed: int, expected: int | str = "") -> str:
        """Promote the model of a seed; in these tests its version has the same number."""
        return promote(USECASE, self.registry, str(seed), str(expected), self.verdict(seed), self.receipt(seed))

    def copy(self, folder: Path) -> "Home":
        shutil.copytree(self.folder, folder)
        return Home(folder)

    def reset(self) -> None:
        _close_connections()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.snapshot, self.folder)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A fresh registry; making one takes seconds, copying it nothing."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("empty registry")
    database.create(folder / "mlflow.db", MlflowClient)
    return Home(folder)


@pytest.fixture(scope="session")
def stocked(empty: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A registry with champion 1 and the challengers 2 and 3."""
    home = empty.copy(tmp_path_factory.mktemp("stocked") / "home")
    home.register(1)
    home.promote(1)
    home.register(2, "challenger")
    home.register(3, "challenger")
    return home


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry") / "home"


@pytest.fixture
def home(folder: Path, empty: Home) -> Home:
    """An empty registry of the test's own."""
    home = Home(folder, empty.folder)
    home.reset()
    return home


@pytest.fixture
def three(folder: Path, stocked: Home) -> Home:
    """A registry of the test's own with champion 1 and the challengers 2 and 3."""
    home = Home(folder, stocked.folder)
    home.reset()
    return home


@dataclass(frozen=True)
class Child:
    """A process of its own: forked, as importing MLflow anew takes seconds."""

    pid: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def fork() -> Callable[[Callable[[], object]], Child]:
    def start(work: Callable[[], object]) -> Child:
        pid = os.fork()
        if pid:
            return Child(pid)
        status = 1
        try:
            _close_connections(in_child=True)
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the exit status tells
            traceback.print_exc()
        finally:
            os._exit(status)

    return start


def _close_connections(*, in_child: bool = False) -> None:
    """SQLite connections do not outlive their file, and must not be carried into a forked process."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    for store in (Models, Runs):
        for engine in store._engine_map.values():
            engine.dispose(close=not in_child)

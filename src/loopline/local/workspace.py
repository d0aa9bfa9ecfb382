"""The workspace, the one folder that holds all state on a laptop: ``.loopline``, or LOOPLINE_HOME."""

import getpass
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from loopline.components.deployment.targets.state_dir import StateDir
from loopline.components.errors import LooplineError


@dataclass(frozen=True)
class Workspace:
    """All state of a laptop.

    Layout::

        runs/<id>/            run.json, pipeline.yaml, logs/, artifacts/
        cache/                outputs of finished steps, by key
        registry/             MLflow: experiments and model versions
        features/<use case>/  Feast: registry and online store
        predictions/<use case>/current   published batch predictions
        serving/<use case>/   the endpoint that `loopline serve` runs
        report/               index.html and summary.json of the last loop
    """

    root: Path

    @classmethod
    def find(cls) -> "Workspace":
        """The workspace in LOOPLINE_HOME, else in ``.loopline`` of the current folder.

        Raises:
            LooplineError: the path cannot hold state ("python3" in it is rewritten by kfp's local runner).
        """
        root = Path(os.environ.get("LOOPLINE_HOME") or ".loopline").absolute()
        if "python3" in str(root):
            raise LooplineError(
                f"LOOPLINE_HOME {root} contains 'python3', which kfp rewrites inside paths; choose another"
            )
        return cls(root)

    @property
    def runs(self) -> Path:
        """Run records, logs and artifacts."""
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """Cache entries."""
        return self.root / "cache"

    @property
    def report(self) -> Path:
        """The report of the last loop."""
        return self.root / "report"

    @property
    def registry(self) -> str:
        """MLflow tracking URI."""
        return f"sqlite:///{self.root / 'registry' / 'mlflow.db'}"

    @property
    def tracking(self) -> str:
        """MLflow URI of the experiment tracking: the registry's."""
        return self.registry

    @property
    def training(self) -> str:
        """Where training steps train: in their own process."""
        return "pod"

    def features(self, usecase: str) -> str:
        """Feature store of a use case."""
        return str(self.root / "features" / usecase)

    def predictions(self, usecase: str) -> str:
        """Where a use case's batch predictions are published."""
        return str(self.root / "predictions" / usecase)

    def serving(self, usecase: str) -> Path:
        """Where a use case's endpoint keeps its state."""
        return self.root / "serving" / usecase

    def release(self, usecase: str) -> dict[str, str]:
        """The values of a release here: at the running endpoint, for as long as it takes."""
        state_dir = StateDir(self.serving(usecase))
        return {
            "target": "local",
            "target_uri": str(state_dir.path),
            "log": str(state_dir.prediction_log),
            "owner": person(),
            "wait": "",
        }


def person() -> str:
    """The calling user and machine, as ``user@host``."""
    return f"{getpass.getuser()}@{platform.node()}"

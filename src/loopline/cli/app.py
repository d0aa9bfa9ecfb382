"""The machine-learning lifecycle: run pipelines here or on a cluster, look at runs, serve and release models."""

import os
import sys
from pathlib import Path

import typer

from loopline.cli.commands import cluster, images, models, runs, scaffold
from loopline.components.errors import LooplineError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for group in (runs, models, cluster, images, scaffold):
    app.add_typer(group.app)


def main() -> None:
    """Entry of the console script: errors for people are one line and exit code 1."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    sys.path.insert(0, str(Path.cwd()))
    # kfp imports kubernetes, which imports this validator where it is installed; that takes two seconds.
    sys.modules.setdefault("kubernetes_validate", None)  # type: ignore[arg-type] # None: not importable
    try:
        app()
    except LooplineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()

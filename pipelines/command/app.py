"""``loopline``: run, compile, look at and explain pipelines; see and roll back models."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from components.contract.errors import LooplineError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
# kfp prints to sys.stdout while it runs, and that is sent elsewhere; what people see goes to the real one.
console = Console(file=sys.stdout)

UseCaseOption = Annotated[str, typer.Option("--usecase", help="Package of the use case.", metavar="PACKAGE")]
DEFAULT_USECASE = "usecases.flights"


@app.command()
def loop(
    usecase: UseCaseOption = DEFAULT_USECASE, fresh: Annotated[bool, typer.Option(help="Reuse nothing.")] = False
) -> None:
    """Replay the use case: train, validate, predict, materialise, retrain; then write the report."""
    from pipelines.command.replaying import replay

    replay(usecase, console, reuse=not fresh)


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="training, validation, batch_inference, materialisation or retrain.")],
    usecase: UseCaseOption = DEFAULT_USECASE,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter as name=value.", metavar="K=V")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Reuse nothing.")] = False,
) -> None:
    """Run one pipeline from its compiled IR, in this environment."""
    from pipelines.command.running import run_pipeline

    run_pipeline(pipeline, usecase, _pairs(param or []), console, reuse=not fresh)


@app.command("compile")
def compile_(
    pipeline: Annotated[str, typer.Argument(help="Which; all if left out.")] = "",
    output: Annotated[Path, typer.Option(help="Folder for KFP IR, one YAML file a pipeline.")] = Path(
        "build/pipelines"
    ),
    tag: Annotated[str, typer.Option(help="Tag of the stage images; by default one of the code's digest.")] = "",
    registry: Annotated[str, typer.Option(help="Prefix of the image names, e.g. ghcr.io/acme/")] = "",
    manifests: Annotated[
        Path | None, typer.Option(help="Folder for Kubernetes objects of all pipelines and schedules.")
    ] = None,
    usecase: Annotated[
        list[str] | None,
        typer.Option("--usecase", help="A use case outside usecases/ whose schedules are wanted.", metavar="PACKAGE"),
    ] = None,
) -> None:
    """Compile pipelines to KFP IR, and with --manifests to the objects that Kubernetes holds."""
    from pipelines.command.compiling import compile_ir, compile_manifests

    compile_ir(pipeline, output, tag, registry, console)
    if manifests:
        compile_manifests(manifests, usecase or [], console)


@app.command()
def runs() -> None:
    """List the runs, newest last."""
    from pipelines.command.looking import list_runs

    list_runs(console)


@app.command()
def show(run: Annotated[str, typer.Argument(help="Id of a run, or last.")]) -> None:
    """Show the steps of a run."""
    from pipelines.command.looking import show_run

    show_run(run, console)


@app.command()
def explain(
    run: Annotated[str, typer.Argument(help="Id of a run, or last.")],
    step: Annotated[str, typer.Argument(help="Name of a step.")],
) -> None:
    """Say why a step was a cache hit or a miss, and what its result depends on."""
    from pipelines.command.looking import explain_step

    explain_step(run, step, console)


@app.command()
def models(usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """List the versions of a use case's model."""
    from pipelines.command.registering import list_models

    list_models(usecase, console)


@app.command()
def rollback(usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """Make the previous champion champion again."""
    from pipelines.command.registering import roll_back

    roll_back(usecase, console)


@app.command()
def features(usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """List the feature views in the store: features, owners, lineage, how far they are materialised."""
    from pipelines.command.looking import list_features

    list_features(usecase, console)


@app.command("new-usecase")
def new_usecase(name: Annotated[str, typer.Argument(help="A Python name: lower case, digits, underscores.")]) -> None:
    """Make a working use case to change into yours, in usecases/NAME."""
    from pipelines.command.template import make

    folder = make(name, Path.cwd())
    console.print(f"{folder} is ready. Try it: loopline loop --usecase usecases.{name}", highlight=False)


def main() -> None:
    """Entry of the console script: errors for people are one line and exit code 1."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    sys.path.insert(0, str(Path.cwd()))
    try:
        app()
    except LooplineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


def _pairs(params: list[str]) -> dict[str, str]:
    pairs = {}
    for param in params:
        key, equals, value = param.partition("=")
        if not equals:
            raise LooplineError(f"--param {param} is no name=value pair")
        pairs[key] = value
    return pairs


if __name__ == "__main__":
    main()

"""Commands that run pipelines on this machine and look at their runs."""

from typing import Annotated

import typer

from loopline.cli import terminal
from loopline.cli.commands import options

app = typer.Typer()


@app.command()
def loop(
    usecase: options.UseCase = options.DEFAULT_USECASE,
    fresh: options.Fresh = False,
    release: Annotated[bool, typer.Option(help="End with releases under replayed traffic.")] = True,
) -> None:
    """Replay a use case: train, validate, predict, materialise, retrain and release; then write the report."""
    from loopline.cli.replaying import replay

    replay(usecase, terminal.console, reuse=not fresh, release=release)


@app.command()
def run(
    pipeline: options.Pipeline,
    usecase: options.UseCase = options.DEFAULT_USECASE,
    param: options.Parameters = None,
    fresh: options.Fresh = False,
    containers: Annotated[bool, typer.Option("--containers", help="Run each step in its stage's image.")] = False,
) -> None:
    """Run one pipeline on this machine, in this environment or in containers."""
    from loopline.cli.running import run_pipeline

    run_pipeline(pipeline, usecase, options.pairs(param), terminal.console, reuse=not fresh, in_containers=containers)


@app.command()
def runs() -> None:
    """List all runs, newest last."""
    from loopline.cli.looking import list_runs

    list_runs(terminal.console)


@app.command()
def show(run: options.Run) -> None:
    """Show what each step of a run decided, and what it wrote."""
    from loopline.cli.looking import show_run

    show_run(run, terminal.console)


@app.command()
def explain(run: options.Run, step: Annotated[str, typer.Argument(help="Name of a step.")]) -> None:
    """Explain why a step ran or came from the cache, and what its result depends on."""
    from loopline.cli.looking import explain_step

    explain_step(run, step, terminal.console)

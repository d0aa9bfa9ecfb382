"""Commands that scaffold a use case or a step."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.cli import terminal

app = typer.Typer()

Name = Annotated[str, typer.Argument(help="A Python name: lower-case letters, digits, underscores.")]


@app.command("new-step")
def new_step(
    stage: Annotated[str, typer.Argument(help="A folder in components/, such as validation.")], name: Name
) -> None:
    """Write a step, its KFP adapter and a passing test to start from; in a checkout only."""
    from loopline import project
    from loopline.cli.new_step import scaffold

    for file in scaffold(stage, name, project.ROOT):
        terminal.console.print(str(file), highlight=False)
    terminal.console.print(
        "Next: declare its effects in @StepFacts, use it in a DAG in pipelines/, and run `make compile test`.",
        highlight=False,
    )


@app.command("new-usecase")
def new_usecase(name: Name) -> None:
    """Write a working use case to start from, in usecases/NAME."""
    from loopline.cli.template import make

    folder = make(name, Path.cwd())
    terminal.console.print(f"{folder} is ready. Try it: loopline loop --usecase usecases.{name}", highlight=False)

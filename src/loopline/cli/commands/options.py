"""Options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from loopline.components.errors import LooplineError
from loopline.pipelines import PIPELINES

DEFAULT_USECASE = "loopline.usecases.flights"

UseCase = Annotated[str, typer.Option("--usecase", help="Package of the use case.", metavar="PACKAGE")]
Cluster = Annotated[
    Path | None, typer.Option("--cluster", help="Settings of the cluster; default: $LOOPLINE_CLUSTER.", metavar="FILE")
]
Pipeline = Annotated[
    str, typer.Argument(help=f"One of {', '.join(PIPELINES)}.", metavar="PIPELINE", show_default=False)
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="A pipeline parameter as name=value; repeatable.", metavar="K=V")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run every step; use nothing from the cache.")]
Run = Annotated[str, typer.Argument(help="Id of a run, or 'last'.")]


def pairs(parameters: Sequence[str] | None) -> dict[str, str]:
    """Values of ``--param`` by name.

    Raises:
        LooplineError: one is not name=value.
    """
    found = {}
    for parameter in parameters or []:
        key, equals, value = parameter.partition("=")
        if not equals:
            raise LooplineError(f"--param {parameter} is not a name=value pair")
        found[key] = value
    return found

"""Commands about container images."""

from typing import Annotated

import typer

from loopline.cli import terminal
from loopline.cli.commands import options

app = typer.Typer()

Names = Annotated[list[str] | None, typer.Argument(help="Names of images; default: all but those for GPUs.")]


@app.command()
def images(names: Names = None, usecase: options.UseCase = options.DEFAULT_USECASE) -> None:
    """Build the container images of this code and their parents, where they are not built yet."""
    from loopline.cli.imaging import build

    build(names or [], usecase, terminal.console)


@app.command()
def push(
    registry: Annotated[str, typer.Argument(help="Registry and prefix, e.g. ghcr.io/acme")],
    usecase: options.UseCase = options.DEFAULT_USECASE,
) -> None:
    """Push the images of this code to a registry, and remember their digests for `pin`."""
    from loopline.cli.imaging import push

    push(registry, usecase, terminal.console)


@app.command()
def pin(
    overlay: Annotated[str, typer.Argument(help="Name of a folder in kustomize/overlays.")],
    registry: Annotated[str, typer.Option(help="Pin digests pushed to this registry; default: tags built here.")] = "",
    usecase: options.UseCase = options.DEFAULT_USECASE,
) -> None:
    """Pin the images of this code in an overlay."""
    from loopline.cli.imaging import pin

    pin(overlay, registry, usecase, terminal.console)


@app.command()
def sbom(names: Names = None) -> None:
    """Write the contents of each image to build/sbom, as CycloneDX."""
    from loopline.cli.imaging import list_contents

    list_contents(names or [], terminal.console)

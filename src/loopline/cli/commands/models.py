"""Commands about models: versions, features, the local endpoint and releases."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.cli import terminal
from loopline.cli.commands import options

app = typer.Typer()


@app.command()
def models(
    usecase: options.UseCase = options.DEFAULT_USECASE,
    history: Annotated[
        bool, typer.Option("--history", help="Show which version became champion when, why, and by which run.")
    ] = False,
) -> None:
    """List the versions of a use case's model."""
    from loopline.cli.registering import list_history, list_models

    (list_history if history else list_models)(usecase, terminal.console)


@app.command()
def rollback(usecase: options.UseCase = options.DEFAULT_USECASE) -> None:
    """Make the previous champion champion again."""
    from loopline.cli.registering import roll_back

    roll_back(usecase, terminal.console)


@app.command()
def features(usecase: options.UseCase = options.DEFAULT_USECASE) -> None:
    """List feature views with their features, owner, lineage and how far they are materialised."""
    from loopline.cli.looking import list_features

    list_features(usecase, terminal.console)


@app.command()
def serve(
    usecase: options.UseCase = options.DEFAULT_USECASE,
    version: Annotated[str, typer.Option(help="Number or alias of the version.")] = "champion",
    port: Annotated[int, typer.Option(help="Port on loopback; 0 for a free one.", min=0, max=65535)] = 8080,
    triton: Annotated[bool, typer.Option(help="Serve with Triton, if it is installed.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the running endpoint.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the running endpoint.")] = False,
) -> None:
    """Serve a version on this machine, from the manifests that a cluster gets, until Ctrl-C."""
    from loopline.cli import serving

    if stop:
        serving.stop(usecase, terminal.console)
    elif status:
        serving.show(usecase, terminal.console)
    else:
        serving.serve(usecase, version, port, terminal.console, use_triton=triton)


@app.command()
def release(
    version: Annotated[str, typer.Argument(help="Number of the champion, or 'champion'.")],
    usecase: options.UseCase = options.DEFAULT_USECASE,
    target: Annotated[str, typer.Option(help="local, git or cluster.")] = "local",
    clone: Annotated[Path, typer.Option(help="Target git: a clone of the repository with the overlays.")] = Path(),
    overlay: Annotated[str, typer.Option(help="Target git: a folder in kustomize/overlays.")] = "prod",
    cluster: options.Cluster = None,
    policy: Annotated[
        Path | None, typer.Option(help="Release policy to use instead of usecase.yaml's.", metavar="FILE")
    ] = None,
    wait: Annotated[
        str, typer.Option(help="Seconds to wait for evidence; an undecided release continues with the next call.")
    ] = "",
) -> None:
    """Shift traffic to a version step by step, or roll it back; continues a release that was interrupted."""
    from loopline.cli import releasing

    releasing.release(usecase, version, target, clone, overlay, cluster, wait, terminal.console, policy)

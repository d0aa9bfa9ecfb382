"""Commands for clusters: compiling, submitting and following runs, checks."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.cli import terminal
from loopline.cli.commands import options

app = typer.Typer()


@app.command("compile")
def compile_(
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline; default: all.")] = "",
    output: Annotated[Path, typer.Option(help="Folder for KFP IR, one YAML file per pipeline.")] = Path(
        "build/pipelines"
    ),
    tag: Annotated[str, typer.Option(help="Tag of the stage images; default: a digest of the code.")] = "",
    registry: Annotated[str, typer.Option(help="Prefix of the image names, e.g. ghcr.io/acme/")] = "",
    manifests: Annotated[
        Path | None, typer.Option(help="Write kustomize bases to this folder instead, one per use case.")
    ] = None,
    usecase: Annotated[
        list[str] | None,
        typer.Option("--usecase", help="With --manifests: which; default: all in usecases/.", metavar="PACKAGE"),
    ] = None,
) -> None:
    """Compile pipelines to KFP IR or, with --manifests, use cases to Kubernetes objects."""
    from loopline.cli.compiling import compile_ir, compile_manifests

    if manifests:
        compile_manifests(manifests, usecase or [], terminal.console)
    else:
        compile_ir(pipeline, output, tag, registry, terminal.console)


@app.command()
def submit(
    pipeline: options.Pipeline,
    usecase: options.UseCase = options.DEFAULT_USECASE,
    param: options.Parameters = None,
    at: Annotated[
        str, typer.Option(help="Scheduled time: sets the window, and makes one run however often it is submitted.")
    ] = "",
    version: Annotated[str, typer.Option(help="Name of the PipelineVersion; default: the newest.")] = "",
    cluster: options.Cluster = None,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the run to its end.")] = False,
) -> None:
    """Start a run on a Kubeflow Pipelines server."""
    from loopline.cli.submitting import submit_run

    submit_run(pipeline, usecase, options.pairs(param), at, version, cluster, terminal.console, follow=follow)


@app.command()
def watch(
    run: Annotated[str, typer.Argument(help="Id of a run on a Kubeflow Pipelines server.")],
    cluster: options.Cluster = None,
) -> None:
    """Follow a run on a Kubeflow Pipelines server to its end."""
    from loopline.cli.submitting import watch_run

    watch_run(run, cluster, terminal.console)


@app.command()
def doctor(cluster: options.Cluster = None, usecase: options.UseCase = options.DEFAULT_USECASE) -> None:
    """Check this machine, and a cluster if one is named, and explain what is wrong."""
    from loopline.cli.checking import run_checks

    run_checks(cluster, usecase, terminal.console)

"""``loopline``: run, compile, submit, look at and explain pipelines; see and roll back models."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loopline.components.errors import LooplineError
from loopline.pipelines import PIPELINES

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
# kfp prints to sys.stdout while it runs, and that is sent elsewhere; what people see goes to the real one.
console = Console(file=sys.stdout)

UseCaseOption = Annotated[str, typer.Option("--usecase", help="Package of the use case.", metavar="PACKAGE")]
DEFAULT_USECASE = "loopline.usecases.flights"
ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", help="Settings of the cluster; LOOPLINE_CLUSTER if left out.", metavar="FILE"),
]


@app.command()
def loop(
    usecase: UseCaseOption = DEFAULT_USECASE,
    fresh: Annotated[bool, typer.Option(help="Reuse nothing.")] = False,
    release: Annotated[bool, typer.Option(help="End with canaries released under replayed traffic.")] = True,
) -> None:
    """Replay the use case: train, validate, predict, materialise, retrain, release; then write the report."""
    from loopline.cli.replaying import replay

    replay(usecase, console, reuse=not fresh, release=release)


@app.command()
def run(
    pipeline: Annotated[
        str, typer.Argument(help=f"One of {', '.join(PIPELINES)}.", metavar="PIPELINE", show_default=False)
    ],
    usecase: UseCaseOption = DEFAULT_USECASE,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter as name=value.", metavar="K=V")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Reuse nothing.")] = False,
    containers: Annotated[bool, typer.Option(help="Run each step in the image of its stage.")] = False,
) -> None:
    """Run one pipeline from its compiled IR, in this environment or in containers."""
    from loopline.cli.running import run_pipeline

    run_pipeline(pipeline, usecase, _pairs(param or []), console, reuse=not fresh, in_containers=containers)


@app.command("compile")
def compile_(
    pipeline: Annotated[str, typer.Argument(help="Which; all if left out.")] = "",
    output: Annotated[Path, typer.Option(help="Folder for KFP IR, one YAML file a pipeline.")] = Path(
        "build/pipelines"
    ),
    tag: Annotated[str, typer.Option(help="Tag of the stage images; by default one of the code's digest.")] = "",
    registry: Annotated[str, typer.Option(help="Prefix of the image names, e.g. ghcr.io/acme/")] = "",
    manifests: Annotated[
        Path | None, typer.Option(help="Write kustomize bases here instead, a folder for each use case.")
    ] = None,
    usecase: Annotated[
        list[str] | None,
        typer.Option("--usecase", help="With --manifests: which; all in usecases/ if left out.", metavar="PACKAGE"),
    ] = None,
) -> None:
    """Compile pipelines to KFP IR, or with --manifests to all that Kubernetes holds of use cases."""
    from loopline.cli.compiling import compile_ir, compile_manifests

    if manifests:
        compile_manifests(manifests, usecase or [], console)
    else:
        compile_ir(pipeline, output, tag, registry, console)


@app.command()
def submit(
    pipeline: Annotated[
        str, typer.Argument(help=f"One of {', '.join(PIPELINES)}.", metavar="PIPELINE", show_default=False)
    ],
    usecase: UseCaseOption = DEFAULT_USECASE,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter as name=value.", metavar="K=V")
    ] = None,
    at: Annotated[
        str, typer.Option(help="The scheduled moment: gives the window, and one run however often it is submitted.")
    ] = "",
    version: Annotated[str, typer.Option(help="Name of the PipelineVersion; the newest if left out.")] = "",
    cluster: ClusterOption = None,
    follow: Annotated[bool, typer.Option(help="Stay until it has ended.")] = False,
) -> None:
    """Start a run on a Kubeflow Pipelines server."""
    from loopline.cli.submitting import submit_run

    submit_run(pipeline, usecase, _pairs(param or []), at, version, cluster, console, follow=follow)


@app.command()
def watch(
    run: Annotated[str, typer.Argument(help="Id of a run on a Kubeflow Pipelines server.")],
    cluster: ClusterOption = None,
) -> None:
    """Follow a run on a Kubeflow Pipelines server to its end."""
    from loopline.cli.submitting import watch_run

    watch_run(run, cluster, console)


@app.command()
def serve(
    usecase: UseCaseOption = DEFAULT_USECASE,
    version: Annotated[str, typer.Option(help="Number or alias of the model.")] = "champion",
    port: Annotated[int, typer.Option(help="Port on loopback; 0 for a free one.", min=0, max=65535)] = 8080,
    triton: Annotated[bool, typer.Option(help="Serve with Triton, if it is installed.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the running endpoint.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the running endpoint.")] = False,
) -> None:
    """Serve a model on this machine: Envoy, transformer and predictor, from the manifests that a cluster gets."""
    from loopline.cli import serving

    if stop:
        serving.stop(usecase, console)
    elif status:
        serving.show(usecase, console)
    else:
        serving.serve(usecase, version, port, console, use_triton=triton)


@app.command()
def release(
    version: Annotated[str, typer.Argument(help="Number of the champion, or champion.")],
    usecase: UseCaseOption = DEFAULT_USECASE,
    target: Annotated[str, typer.Option(help="local, git or cluster.")] = "local",
    clone: Annotated[Path, typer.Option(help="Target git: a clone of the repository with the overlays.")] = Path(),
    overlay: Annotated[str, typer.Option(help="Target git: a folder in kustomize/overlays.")] = "prod",
    cluster: ClusterOption = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy of this environment, which goes before usecase.yaml's.", metavar="FILE"),
    ] = None,
    wait: Annotated[str, typer.Option(help="Seconds to wait for evidence at most; the next call goes on.")] = "",
) -> None:
    """Give a version more and more of the traffic, then all, or roll it back. Killed, it goes on when called again."""
    from loopline.cli import releasing

    releasing.release(usecase, version, target, clone, overlay, cluster, wait, console, policy)


@app.command()
def doctor(cluster: ClusterOption = None, usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """Check what this machine, and a cluster if one is named, need to run pipelines; explain what is wrong."""
    from loopline.cli.checking import run_checks

    run_checks(cluster, usecase, console)


@app.command()
def runs() -> None:
    """List the runs, newest last."""
    from loopline.cli.looking import list_runs

    list_runs(console)


@app.command()
def show(run: Annotated[str, typer.Argument(help="Id of a run, or last.")]) -> None:
    """Show the steps of a run."""
    from loopline.cli.looking import show_run

    show_run(run, console)


@app.command()
def explain(
    run: Annotated[str, typer.Argument(help="Id of a run, or last.")],
    step: Annotated[str, typer.Argument(help="Name of a step.")],
) -> None:
    """Say why a step was a cache hit or a miss, and what its result depends on."""
    from loopline.cli.looking import explain_step

    explain_step(run, step, console)


@app.command()
def models(
    usecase: UseCaseOption = DEFAULT_USECASE,
    history: Annotated[
        bool, typer.Option("--history", help="Show who became champion, when, why, and by which run.")
    ] = False,
) -> None:
    """List the versions of a use case's model, or with --history its promotions and rollbacks."""
    from loopline.cli.registering import list_history, list_models

    if history:
        list_history(usecase, console)
    else:
        list_models(usecase, console)


@app.command()
def rollback(usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """Make the previous champion champion again."""
    from loopline.cli.registering import roll_back

    roll_back(usecase, console)


@app.command()
def features(usecase: UseCaseOption = DEFAULT_USECASE) -> None:
    """List the feature views in the store: features, owners, lineage, how far they are materialised."""
    from loopline.cli.looking import list_features

    list_features(usecase, console)


@app.command()
def images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all but those for GPUs if left out.")] = None,
    usecase: UseCaseOption = DEFAULT_USECASE,
) -> None:
    """Build the container images that hold this code, and what they stand on; those that are there are left."""
    from loopline.cli.imaging import build

    build(names or [], usecase, console)


@app.command()
def push(
    registry: Annotated[str, typer.Argument(help="Where to, e.g. ghcr.io/acme")],
    usecase: UseCaseOption = DEFAULT_USECASE,
) -> None:
    """Push the images that hold this code to a registry, and remember their digests there."""
    from loopline.cli.imaging import push

    push(registry, usecase, console)


@app.command()
def pin(
    overlay: Annotated[str, typer.Argument(help="Name of a folder in kustomize/overlays.")],
    registry: Annotated[str, typer.Option(help="Pin by digest what was pushed there; else by tag what is built.")] = "",
    usecase: UseCaseOption = DEFAULT_USECASE,
) -> None:
    """Write the images that hold this code into an overlay, in one edit of one file."""
    from loopline.cli.imaging import pin

    pin(overlay, registry, usecase, console)


@app.command()
def sbom(
    names: Annotated[list[str] | None, typer.Argument(help="Images; all but those for GPUs if left out.")] = None,
) -> None:
    """Write what is in each image to build/sbom, as CycloneDX."""
    from loopline.cli.imaging import list_contents

    list_contents(names or [], console)


@app.command("new-step")
def new_step(
    stage: Annotated[str, typer.Argument(help="A folder of components/, such as validation.")],
    name: Annotated[str, typer.Argument(help="A Python name: lower case, digits, underscores.")],
) -> None:
    """Write a step, its KFP adapter and a test that passes, to change into yours; in a checkout only."""
    from loopline import project
    from loopline.cli.new_step import scaffold

    for file in scaffold(stage, name, project.ROOT):
        console.print(str(file), highlight=False)
    console.print(
        "Say in @StepFacts what it does besides its outputs, use it in a DAG in pipelines/, then `make compile test`.",
        highlight=False,
    )


@app.command("new-usecase")
def new_usecase(name: Annotated[str, typer.Argument(help="A Python name: lower case, digits, underscores.")]) -> None:
    """Make a working use case to change into yours, in usecases/NAME."""
    from loopline.cli.template import make

    folder = make(name, Path.cwd())
    console.print(f"{folder} is ready. Try it: loopline loop --usecase usecases.{name}", highlight=False)


def main() -> None:
    """Entry of the console script: errors for people are one line and exit code 1."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    sys.path.insert(0, str(Path.cwd()))
    # kfp imports kubernetes, and that a validator if there is one, here a tool of the tests that takes two seconds.
    sys.modules.setdefault("kubernetes_validate", None)  # type: ignore[arg-type] # how Python is told that there is none
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

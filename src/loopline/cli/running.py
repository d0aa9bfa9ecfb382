"""``loopline run``: one pipeline, with defaults from the use case."""

from collections.abc import Mapping

from rich.console import Console

from loopline.cli.watch import ConsoleWatcher
from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.components.training.target import shared_folder
from loopline.local import versions
from loopline.local.engine import Engine
from loopline.local.workspace import Workspace
from loopline.report.tables import steps_table


def run_pipeline(
    pipeline: str, package: str, given: Mapping[str, str], console: Console, *, reuse: bool, in_containers: bool
) -> None:
    """Run a pipeline and show its steps.

    Raises:
        LooplineError: it could not start, or a step failed.
    """
    case = usecase.load(package)
    workspace = Workspace.find()
    values = parameters.complete(pipeline, case, workspace, given)
    values = versions.resolve_versions(pipeline, values, case, workspace)
    if values.get("target") == "trainjob":
        shared_folder()  # fail now rather than after the examples are made
    run = Engine(workspace, ConsoleWatcher(console), reuse=reuse, in_containers=in_containers).run(
        pipeline_ir.load(pipeline), package, values
    )
    console.print(steps_table([run]))
    console.print(f"run {run.id}: {run.state} in {run.seconds:.1f} s", highlight=False)
    if run.state != "succeeded":
        raise LooplineError(f"{run.error} (logs in {workspace.runs / run.id / 'logs'})")

"""``loopline release``: the release DAG on this machine, for an endpoint here, a Git repository or a cluster."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from loopline.cli.watch import ConsoleWatcher
from loopline.cluster.settings import Cluster
from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.contract.environment_policy import VARIABLE, EnvironmentPolicy
from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.release.plan import Plan, known_target
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.targets.connect import connect
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.local.engine import Engine
from loopline.local.records import RunRecord
from loopline.local.workspace import Workspace, person
from loopline.report.tables import steps_table


def release(
    package: str,
    version: str,
    target: str,
    clone: Path,
    overlay: str,
    settings: Path | None,
    wait: str,
    console: Console,
    policy: Path | None = None,
) -> None:
    """Release the champion; a release that was killed, or for which there was no more time, is gone on with.

    Args:
        package: the use case.
        version: number of the champion, or champion.
        target: local, git or cluster.
        clone: for git, the working tree of a clone of the repository with the overlays.
        overlay: for git, the name of a folder in kustomize/overlays.
        settings: for git and cluster, of the cluster whose registry and prediction log are read.
        wait: seconds to wait for evidence at most; empty for as long as it takes.
        console: where to say what is decided.
        policy: a policy.yaml that changes the use case's release policy.

    Raises:
        LooplineError: it cannot begin, is another's, or the version was rolled back.
    """
    case, workspace = usecase.load(package), Workspace.find()
    if policy:
        _use(policy, case)
    given = {"version": version, "target": known_target(target), "wait": wait, "owner": person()}
    if target == "local":
        values = parameters.complete("release", case, workspace, given)
    else:
        target_uri = str(clone.absolute()) if target == "git" else ""
        values = parameters.complete(
            "release", case, Cluster.read(settings), {**given, "target_uri": target_uri, "overlay": overlay}
        )
    with _locked(case, values):
        run = Engine(workspace, ConsoleWatcher(console)).run(pipeline_ir.load("release"), package, values)
    console.print(steps_table([run]))
    if run.state != "succeeded":
        raise LooplineError(f"{run.error} (logs in {workspace.runs / run.id / 'logs'})")
    _conclude(case, run, workspace, console)


def _use(policy: Path, case: UseCase) -> None:
    """Give the steps of this process a policy.yaml, as the pods of a cluster get it.

    Raises:
        LooplineError: it is not there, or something in it is wrong.
    """
    if not policy.is_file():
        raise LooplineError(f"{policy} does not exist; kustomize/overlays/prod/flights/policy.yaml is such a file")
    text = policy.read_text(encoding="utf-8")
    EnvironmentPolicy.parse(text, str(policy)).applied_to(case.spec)
    os.environ[VARIABLE] = text


def _locked(case: UseCase, values: dict[str, str]) -> AbstractContextManager[None]:
    """Release as the only process of this machine that does: here steps are processes of their own."""
    plan = Plan(
        usecase=case.package,
        target=known_target(values["target"]),
        target_uri=values["target_uri"],
        overlay=values["overlay"],
        log=values["log"],
        owner=values["owner"],
    )
    return connect(plan, case.spec.name).locked()


def _conclude(case: UseCase, run: RunRecord, workspace: Workspace, console: Console) -> None:
    """Keep the page of a release and say how it ended.

    Raises:
        LooplineError: it was rolled back, and why.
    """
    ended = run.step("finish")
    outcome = ended.values["Output"]
    if outcome == "serves already":
        version = run.step("find-champion").values["Output"]
        console.print(f"{case.spec.name} version {version} serves already: nothing to release", highlight=False)
        return
    record = Record.model_validate_json(Path(ended.outputs["record"].uri).read_bytes())
    file = workspace.root / "releases" / record.endpoint / f"{record.canary}.md"
    atomic.write_text(file, Path(ended.outputs["page"].uri).read_text(encoding="utf-8"))
    console.print(f"{record.endpoint} version {record.canary}: {outcome}; {file}", highlight=False, soft_wrap=True)
    if outcome == "rolled back":
        raise LooplineError(f"version {record.canary} of {record.endpoint} was rolled back: {record.reason}")

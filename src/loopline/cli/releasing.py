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
    """Release the champion, or continue a release that was killed or ran out of time.

    Args:
        package: the use case.
        version: number of the champion, or "champion".
        target: local, git or cluster.
        clone: for git, the working tree of a clone of the repository with the overlays.
        overlay: for git, the name of a folder in kustomize/overlays.
        settings: for git and cluster, the file that names the cluster's registry and prediction log.
        wait: seconds to wait for evidence at most; empty for no limit.
        console: for progress and decisions.
        policy: a policy.yaml that changes the use case's release policy.

    Raises:
        LooplineError: the release cannot begin, someone else owns it, or the version was rolled back.
    """
    case, workspace = usecase.load(package), Workspace.find()
    if policy:
        _set_policy(policy, case)
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
    _report_outcome(case, run, workspace, console)


def _set_policy(policy: Path, case: UseCase) -> None:
    """Pass a policy.yaml to the steps that this process starts, as pods on a cluster get it.

    Raises:
        LooplineError: the file does not exist, or is not valid.
    """
    if not policy.is_file():
        raise LooplineError(f"{policy} does not exist; kustomize/overlays/prod/flights/policy.yaml is such a file")
    text = policy.read_text(encoding="utf-8")
    EnvironmentPolicy.parse(text, str(policy)).applied_to(case.spec)
    os.environ[VARIABLE] = text


def _locked(case: UseCase, values: dict[str, str]) -> AbstractContextManager[None]:
    """Keep other processes of this machine from releasing at the target while the steps run."""
    plan = Plan(
        usecase=case.package,
        target=known_target(values["target"]),
        target_uri=values["target_uri"],
        overlay=values["overlay"],
        log=values["log"],
        owner=values["owner"],
    )
    return connect(plan, case.spec.name).locked()


def _report_outcome(case: UseCase, run: RunRecord, workspace: Workspace, console: Console) -> None:
    """Save the Markdown page of a release and print its outcome.

    Raises:
        LooplineError: the version was rolled back; the message has the reason.
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

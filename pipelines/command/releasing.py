"""``loopline release``: the champion takes over the traffic of an endpoint step by step, or is rolled back."""

import getpass
import platform
from pathlib import Path

from rich.console import Console

from components.contract import atomic, usecase
from components.contract.errors import LooplineError
from components.contract.usecase import UseCase
from components.deployment.analyse import Decision
from components.deployment.observed import Observed
from components.deployment.page import page
from components.deployment.record import Record
from components.deployment.roll_out import RollOut
from components.deployment.target import Target
from pipelines.cluster.settings import Cluster
from pipelines.laptop.home import Home

# Seconds between two looks at a step: here, where the log is written each second, and elsewhere.
LOCAL_PAUSE, PAUSE = 1.0, 15.0


def release_locally(package: str, version: str, console: Console) -> None:
    """Release the champion at the endpoint of this machine; a release that was killed is gone on with.

    Args:
        package: the use case.
        version: number or alias of the model; has to be the champion.
        console: where to say what is decided.

    Raises:
        LooplineError: it cannot begin, is another's, or the version was rolled back.
    """
    from components.deployment.local_target import LocalTarget
    from pipelines.laptop.serving.endpoint import Endpoint

    home, case = Home.find(), usecase.load(package)
    endpoint = Endpoint(home, case)
    if endpoint.status() is None:
        raise LooplineError(f"no endpoint of {case.spec.name} runs here; start it with `loopline serve`, then release")
    log = Observed(case, str(endpoint.place.prediction_log))
    _release(LocalTarget(endpoint), case, home.registry, version, log, LOCAL_PAUSE, home, console)


def release_in_git(
    package: str, version: str, clone: Path, overlay: str, settings: Path | None, console: Console
) -> None:
    """Release the champion by commits to an overlay; a release that was killed is gone on with.

    Args:
        package: the use case.
        version: number or alias of the model; has to be the champion.
        clone: working tree of a clone of the repository with the overlays.
        overlay: name of a folder in kustomize/overlays.
        settings: of the cluster, whose registry and prediction log are read.
        console: where to say what is decided.

    Raises:
        LooplineError: it cannot begin, is another's, or the version was rolled back.
    """
    from components.deployment.git_target import GitTarget

    cluster, case = Cluster.read(settings), usecase.load(package)
    target = GitTarget(clone, overlay, case.spec.name)
    _release(target, case, cluster.registry, version, _log(cluster, case), PAUSE, Home.find(), console)


def release_on_cluster(package: str, version: str, settings: Path | None, console: Console) -> None:
    """Release the champion by server-side apply; a release that was killed is gone on with.

    Args:
        package: the use case.
        version: number or alias of the model; has to be the champion.
        settings: of the cluster, whose registry and prediction log are read.
        console: where to say what is decided.

    Raises:
        LooplineError: it cannot begin, is another's, or the version was rolled back.
    """
    from components.deployment.cluster_target import ClusterTarget

    cluster, case = Cluster.read(settings), usecase.load(package)
    target = ClusterTarget.connect(case.spec.name)
    _release(target, case, cluster.registry, version, _log(cluster, case), PAUSE, Home.find(), console)


def _release(
    target: Target,
    case: UseCase,
    registry: str,
    version: str,
    log: Observed,
    pause: float,
    home: Home,
    console: Console,
) -> None:
    from components.registry.fetch import resolve
    from components.registry.rollback import give_back

    name, owner = case.spec.name, f"{getpass.getuser()}@{platform.node()}"
    with target.held():
        champion = resolve(name, registry, "champion")
        if version not in {"champion", str(champion)}:
            known = f"version {champion} is" if champion else "there is none yet"
            raise LooplineError(
                f"version {version} of {name} is not the champion ({known}), so it gets no traffic: `loopline run "
                "validation` or `retrain` makes a version champion that passes its gates"
            )
        releaser = RollOut(target, case.spec, log.since, owner, Teller(console).tell, pause)
        releaser.begin(str(champion))
        record = releaser.carry_on()
        if record.outcome == "rolled back" and give_back(name, registry, int(record.canary), int(record.stable)):
            console.print(f"version {record.stable} is champion again", highlight=False)
    _conclude(record, home.root / "releases" / name / f"{record.canary}.md", console)


def _log(cluster: Cluster, case: UseCase) -> Observed:
    """The prediction log where the transformers of a cluster write it."""
    return Observed(case, f"{cluster.predictions(case.spec.name)}/requests")


def _conclude(record: Record, file: Path, console: Console) -> None:
    """Write the page of a release and say how it ended.

    Raises:
        LooplineError: it was rolled back, and why.
    """
    atomic.write_text(file, page(record))
    console.print(
        f"{record.endpoint} version {record.canary}: {record.outcome}; {file}", highlight=False, soft_wrap=True
    )
    if record.outcome == "rolled back":
        raise LooplineError(f"version {record.canary} of {record.endpoint} was rolled back: {record.reason}")


class Teller:
    """Says each decision once, and of those to wait the first of a step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def tell(self, decision: Decision) -> None:
        """Say it, if it is new."""
        step = decision.step
        kind = f"{step.number} {decision.outcome}"
        if kind != self._said:
            self._said = kind
            sentence = f"step {step.number}, {step.percent}%: {decision.outcome}: {decision.reason}"
            self._console.print(sentence, highlight=False, soft_wrap=True)

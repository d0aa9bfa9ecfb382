"""``loopline release``: a version takes over the traffic of an endpoint step by step, or is rolled back."""

import getpass
import platform
from pathlib import Path

from rich.console import Console

from components.contract import atomic, usecase
from components.contract.errors import LooplineError
from components.deployment.analyse import Decision
from components.deployment.observed import Observed
from components.deployment.page import page
from components.deployment.record import Record
from components.deployment.roll_out import RollOut
from pipelines.laptop.home import Home
from pipelines.laptop.local_target import LocalTarget
from pipelines.laptop.serving.endpoint import Endpoint

# Between two looks at a step here, where the log is written each second.
LOCAL_PAUSE = 1.0


def release_locally(package: str, version: str, console: Console) -> None:
    """Release a version at the endpoint of this machine; one that was killed is gone on with.

    Args:
        package: the use case.
        version: number or alias of the model.
        console: where to say what is decided.

    Raises:
        LooplineError: it cannot begin, is another's, or the version was rolled back.
    """
    from components.registry.approval import expect_releasable, promote_released

    home, case = Home.find(), usecase.load(package)
    name = case.spec.name
    endpoint = Endpoint(home, case)
    target = LocalTarget(endpoint)
    if endpoint.status() is None:
        raise LooplineError(f"no endpoint of {name} runs here; start it with `loopline serve`, then release")
    with target.held():
        number = expect_releasable(name, home.registry, version)
        releaser = RollOut(
            target=target,
            spec=case.spec,
            seen=Observed(case, str(endpoint.place.prediction_log)).since,
            owner=f"{getpass.getuser()}@{platform.node()}",
            told=Teller(console).tell,
            pause=LOCAL_PAUSE,
        )
        releaser.begin(str(number))
        record = releaser.carry_on()
        if record.outcome == "promoted":
            promote_released(name, home.registry, number, int(record.stable), f"{record.began:%Y-%m-%dT%H:%M:%S.%f}")
    conclude(record, endpoint.place.root / "release", console)


def conclude(record: Record, folder: Path, console: Console) -> None:
    """Write the page of a release and say how it ended.

    Raises:
        LooplineError: it was rolled back, and why.
    """
    file = folder / "release.md"
    atomic.write_text(file, page(record))
    console.print(f"{record.endpoint} version {record.canary}: {record.outcome}; {file}", highlight=False)
    if record.outcome == "rolled back":
        raise LooplineError(f"version {record.canary} of {record.endpoint} was rolled back: {record.reason}")


class Teller:
    """Says each decision once, and of one to wait only what is new about it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def tell(self, decision: Decision) -> None:
        """Say it, if it is new."""
        step = decision.step
        sentence = f"step {step.number}, {step.percent}%: {decision.outcome}: {decision.reason}"
        kind = f"{step.number} {decision.outcome}"
        if kind != self._said:
            self._said = kind
            self._console.print(sentence, highlight=False, soft_wrap=True)

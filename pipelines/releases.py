"""The last acts of the loop: a challenger is released under replayed traffic, and a deliberately bad one is caught.

Both act at an endpoint of this machine that is served for as long as they take. What was decided is kept, so that a
loop that comes to the same models again does not release them again.
"""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.contract import atomic, digest
from components.contract.errors import LooplineError
from components.contract.model import Model
from components.contract.usecase import UseCase
from components.deployment import transitions
from components.deployment.local_target import LocalTarget
from components.deployment.observed import Observed
from components.deployment.record import Record, Stopped
from components.deployment.roll_out import USUAL, RollOut
from pipelines.act import Act
from pipelines.laptop.home import Home
from pipelines.laptop.serving.endpoint import Endpoint
from pipelines.laptop.serving.replay import Question, inputs, questions, replay
from pipelines.laptop.spoiled import SPOILED, WHAT, spoil

OWNER = "loopline loop"
# Seconds: between two looks at a step, between two looks at the traffic, and for one act at most.
PAUSE, SLICE_SECONDS, ACT_SECONDS = 0.5, 5.0, 300.0
# Of the stable, before the first release.
USUAL_REQUESTS = 400
FEWEST_EVENTS = 2_000
CONNECTIONS = 4
END_SECONDS = 60.0
MARK = "of-the-loop"  # in the place of an endpoint that the loop serves


@dataclass(frozen=True)
class _Stage:
    """What the acts are played on: an endpoint, whoever releases there, and the traffic."""

    endpoint: Endpoint
    releaser: RollOut
    traffic: threading.Thread


@dataclass(frozen=True)
class Releases:
    """The releases of a use case at the end of its loop.

    Attributes:
        home: where state lies.
        case: the use case.
        announce: called with a sentence before each act.
    """

    home: Home
    case: UseCase
    announce: Callable[[str], None]

    def hold(self, champion: Model, challenger: Model | None, versions: tuple[int, int | None]) -> list[Act]:
        """Release the challenger over the champion, then a spoiled one over whichever serves after that.

        Args:
            champion: the model that the challenger was better than.
            challenger: None if it was not better.
            versions: of both.

        Raises:
            LooplineError: the endpoint cannot be served here.
        """
        from components.registry.rollback import give_back

        kept = self._kept(champion, challenger)
        if kept.is_file():
            made = _read(kept)
            for act in made:
                self.announce(f"release: {act.canary}: {act.record.outcome} by an earlier loop")
            return made
        acts: list[Act] = []
        with self._served(champion, versions[0]) as endpoint, _traffic(self.case, endpoint) as traffic:
            stage = _Stage(endpoint, self._releaser(endpoint), traffic)
            self._clear(stage.releaser)
            _wait_for_the_usual(stage)
            stable, serving = versions[0], champion
            if challenger and versions[1]:
                acts.append(self._act(stage, versions[1], challenger, f"version {versions[1]}, trained on newer data"))
                if acts[0].record.outcome == "promoted":
                    stable, serving = versions[1], challenger
                elif not _was_stopped(acts[0].record):
                    give_back(self.case.spec.name, self.home.registry, versions[1], versions[0])
            bad = spoil(serving, self.case.spec.task, endpoint.place.model(SPOILED + stable))
            what = f"version {stable}, deliberately made worse: {WHAT[self.case.spec.task]}"
            acts.append(self._act(stage, SPOILED + stable, bad, what))
        if not any(_was_stopped(act.record) for act in acts):
            _write(kept, acts)
        return acts

    def _act(self, stage: _Stage, version: int, model: Model, what: str) -> Act:
        """One release, within its time."""
        self.announce(f"release: {what}")
        releaser, traffic = stage.releaser, stage.traffic
        _lay_down(model, stage.endpoint.place.model(version))
        record, end = releaser.begin(str(version)), time.monotonic() + ACT_SECONDS
        while record.outcome is None and traffic.is_alive() and time.monotonic() < end:
            record = releaser.carry_on(SLICE_SECONDS)
        if record.outcome is None:
            record = _stop(releaser, record, "there was no more traffic, or no more time for it, in the loop")
        self.announce(f"{record.outcome}: {record.reason}")
        return Act(canary=what, record=record)

    def _releaser(self, endpoint: Endpoint) -> RollOut:
        """Whoever releases here, seeing only what is answered from now on."""
        log, began = Observed(self.case, str(endpoint.place.prediction_log)), datetime.now(UTC)
        return RollOut(
            target=LocalTarget(endpoint),
            spec=self.case.spec,
            seen=lambda since: log.since(max(since, began)),
            owner=OWNER,
            told=lambda _: None,
            pause=PAUSE,
        )

    def _clear(self, releaser: RollOut) -> None:
        """End the release of a loop that was killed in the middle of it: its canary is gone."""
        record = releaser.target.record()
        if record and record.outcome is None and record.owner == OWNER:
            _stop(releaser, record, "the loop that released it was killed")

    @contextmanager
    def _served(self, champion: Model, version: int) -> Iterator[Endpoint]:
        """The endpoint with the champion, ended afterwards whatever happens."""
        from pipelines.command import serving

        endpoint = Endpoint(self.home, self.case)
        events = _events(self.case)
        if events < FEWEST_EVENTS:
            raise LooplineError(f"it has {events:,} events to ask about, and a release takes {FEWEST_EVENTS:,}")
        ours = endpoint.place.root / MARK
        if endpoint.place.running() and ours.exists():  # the loop that served it was killed
            _end(endpoint)
        if endpoint.place.running():
            raise LooplineError(
                f"an endpoint of {self.case.spec.name} is being served, and the loop needs one of its own"
            )
        _lay_down(champion, endpoint.place.model(version))
        self.announce(f"serve version {version}, and ask it about {self.case.spec.replay.compare[0]} and on")
        atomic.write_text(ours, "")
        try:
            serving.start(self.case.package, str(version))
            yield endpoint
        finally:
            _end(endpoint)
            ours.unlink(missing_ok=True)

    def _kept(self, champion: Model, challenger: Model | None) -> Path:
        spec = self.case.spec
        identity = digest.of_value(
            {
                "champion": champion.digest,
                "challenger": challenger.digest if challenger else None,
                "release": spec.release.model_dump(mode="json"),
                "replay": [str(moment) for moment in spec.replay.compare],
            }
        )
        return self.home.root / "releases" / spec.name / f"{identity.removeprefix(digest.PREFIX)[:16]}.json"


def _end(endpoint: Endpoint) -> None:
    """End the processes of an endpoint.

    Raises:
        LooplineError: they do not end.
    """
    if status := endpoint.status():
        os.kill(status.supervisor, signal.SIGTERM)
    end = time.monotonic() + END_SECONDS
    while endpoint.place.running():
        if time.monotonic() > end:
            raise LooplineError(f"the endpoint in {endpoint.place.root} does not end; `loopline serve --stop` ends it")
        time.sleep(0.05)


def _was_stopped(record: Record) -> bool:
    """Whether it ended before anything was decided, for want of time or traffic."""
    return any(isinstance(event, Stopped) for event in record.events)


def _stop(releaser: RollOut, record: Record, reason: str) -> Record:
    """Roll a release back whatever was seen."""
    releaser.target.store(transitions.stopped(record, reason, OWNER, releaser.now()))
    return releaser.carry_on()


def _wait_for_the_usual(stage: _Stage) -> None:
    """Let the stable version answer until it shows what is usual.

    Raises:
        LooplineError: the traffic ends before.
    """
    while stage.releaser.seen(stage.releaser.now() - USUAL).num_rows < USUAL_REQUESTS:
        if not stage.traffic.is_alive():
            raise LooplineError(f"the endpoint answered fewer than {USUAL_REQUESTS} requests in all")
        time.sleep(PAUSE)


@contextmanager
def _traffic(case: UseCase, endpoint: Endpoint) -> Iterator[threading.Thread]:
    """Ask the endpoint about the events that the loop compares on, in their order, until the block is left."""
    status = endpoint.wait_until_ready()
    url, ended = f"http://127.0.0.1:{status.port}", threading.Event()

    def asked() -> Iterator[Question]:
        for question in questions(case, *case.spec.replay.compare, inputs(url, case.spec.name)):
            if ended.is_set():
                return
            yield question

    sender = threading.Thread(
        target=lambda: asyncio.run(replay(url, case.spec.name, asked(), connections=CONNECTIONS)), name="traffic"
    )
    sender.start()
    try:
        yield sender
    finally:
        ended.set()
        sender.join()


def _events(case: UseCase) -> int:
    """How many events there are to ask about."""
    window = case.spec.window(*case.spec.replay.compare)
    return len(case.source.tables(window.start, window.end)[case.spec.entity.table])


def _lay_down(model: Model, folder: Path) -> None:
    """Put a package where the endpoint looks for a version, unless it is there."""
    if model.path == folder:
        return
    if folder.is_dir() and Model.open(folder, verify=False).digest == model.digest:
        return
    with atomic.new_folder(folder) as copy:
        shutil.copytree(model.path, copy, dirs_exist_ok=True)


def _read(file: Path) -> list[Act]:
    return [Act.model_validate(act) for act in json.loads(file.read_text(encoding="utf-8"))]


def _write(file: Path, acts: list[Act]) -> None:
    atomic.write_text(file, json.dumps([act.model_dump(mode="json") for act in acts], indent=1) + "\n")

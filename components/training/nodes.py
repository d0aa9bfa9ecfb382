"""Train on the nodes of a cluster: put the examples where they can reach them, start a TrainJob, bring weights back."""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType

from loopline.components.contract import cluster_job, usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, storage
from loopline.components.io.kubernetes_errors import UnreachableError
from loopline.components.training import trainjob, weights
from loopline.components.training.kubernetes_api import TrainJobs

# Seconds between two looks at a job.
POLL = 5.0
# For how long the API may be away, and for how long a pod may fail to start, before that is an error.
API_AWAY = timedelta(minutes=10)
NOT_STARTING = timedelta(minutes=5)
PROGRESS = "progress:"
ERROR = "error: "


@dataclass(frozen=True)
class _Look:
    """What is seen of a job: where it stands, if it is there, what it logs, and why it does not start."""

    state: trainjob.State | None
    log: list[str]
    blocked: str | None


class _CancelledError(Exception):
    """This step was asked to end."""


def train_on_nodes(
    package: str, examples_path: Path | str, weights_path: Path | str, tracking: str, store: str
) -> dict[str, float]:
    """Train the use case's model in a TrainJob and write the weights artifact.

    A job of an earlier attempt at the same training is taken up while it runs, and replaced once it has failed; its
    checkpoint is gone on from.

    Args:
        package: the use case.
        examples_path: examples to learn from.
        weights_path: folder to make.
        tracking: MLflow URI for the job; empty for none.
        store: URI of a folder that this process and the nodes share.

    Returns:
        What to log: rows, epochs, held-out loss.

    Raises:
        LooplineError: there is no cluster that takes the job, the job failed or took too long, or was deleted.
    """
    case = usecase.load(package)
    dataset = Dataset.open(examples_path)
    jobs = TrainJobs.connect()
    runtime = jobs.runtime()
    deadline = cluster_job.deadline_of(runtime)
    name = trainjob.name_of(case, dataset.digest, tracking)
    place = f"{store}/{name}"
    arguments = [
        f"--usecase={package}",
        f"--examples={place}/examples",
        f"--weights={place}/weights",
        f"--checkpoint={place}/checkpoint",
        f"--tracking={tracking}",
    ]
    with _cancellable(jobs, name):
        if _taken_up(jobs, name):
            print(f"{PROGRESS} TrainJob {name} is there already", flush=True)
        else:
            storage.put(dataset.path, f"{place}/examples")
            jobs.create(trainjob.manifest(name, runtime, arguments))
        _wait(jobs, name, deadline, f"{place}/weights")
    figures = _bring(f"{place}/weights", Path(weights_path))
    jobs.delete(name)
    return figures


def _taken_up(jobs: TrainJobs, name: str) -> bool:
    """Whether an earlier attempt's job is there to wait for; one that has failed, or is on its way out, makes room."""
    until = time.monotonic() + API_AWAY.total_seconds()
    while job := jobs.find(name):
        leaving = "deletionTimestamp" in job["metadata"]
        if not leaving and trainjob.state_of(job).phase != "failed":
            return True
        if time.monotonic() > until:
            raise LooplineError(
                f"TrainJob {name} of an earlier attempt does not go away; delete it, and its finalizers"
            )
        if not leaving:
            jobs.delete(name)
        time.sleep(POLL)
    return False


def _wait(jobs: TrainJobs, name: str, deadline: timedelta, made: str) -> None:
    """Return when the job is complete, and tell how it goes meanwhile.

    Raises:
        LooplineError: it failed (and is left for a look at it), took too long or cannot start (and is deleted), was
            deleted by another, or the API stays away (and it runs on).
    """
    begun = startable = time.monotonic()
    told = ""
    for look in _looks(jobs, name):
        state, now = look.state, time.monotonic()
        if state is None:
            if weights.MANIFEST in storage.names(made):  # another step that waited for the same job was first
                return
            raise LooplineError(
                f"TrainJob {name} was deleted while it was waited for; run the step again to start anew"
            )
        if state.phase == "complete":
            return
        if state.phase == "failed":
            raise LooplineError(f"TrainJob {name} failed: {_reason(look.log)} ({state.words})")
        words = _last(look.log, PROGRESS) or f"{PROGRESS} TrainJob {name}: {look.blocked or state.words}"
        if words != told:
            print(words, flush=True)
            told = words
        startable = startable if look.blocked else now
        if now - startable > NOT_STARTING.total_seconds():
            jobs.delete(name)
            raise LooplineError(f"TrainJob {name} cannot start, and was deleted: {look.blocked}")
        if now - begun > deadline.total_seconds():
            jobs.delete(name)
            raise LooplineError(
                f"TrainJob {name} was not done in {deadline} ({state.words}) and was deleted; its checkpoint stays: "
                f"run the step again to go on, or raise {cluster_job.DEADLINE} of TrainingRuntime {trainjob.RUNTIME}"
            )


def _looks(jobs: TrainJobs, name: str) -> Iterator[_Look]:
    """Looks at a job, one every few seconds; an API that is away for a while is waited for.

    Raises:
        LooplineError: it stays away.
    """
    answered = time.monotonic()
    while True:
        try:
            job = jobs.find(name)
            state = trainjob.state_of(job) if job else None
            log = jobs.log(name) if state and state.phase in {"running", "failed"} else []
            blocked = jobs.blocked_container(name) if state and state.phase == "waiting" else None
            look = _Look(state, log, blocked)
        except UnreachableError as error:
            if time.monotonic() - answered > API_AWAY.total_seconds():
                raise LooplineError(f"{error}; TrainJob {name} runs on, and this step finds it if run again") from error
        else:
            answered = time.monotonic()
            yield look
        time.sleep(POLL)


def _bring(uri: str, weights_path: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="loopline-weights-") as folder:
        fetched = storage.fetch(uri, Path(folder), manifest=weights.MANIFEST)
        figures = weights.figures(fetched)
        with atomic.new_folder(weights_path) as partial:
            shutil.copytree(fetched, partial, dirs_exist_ok=True)
    return figures


def _last(lines: list[str], beginning: str) -> str:
    return next((line for line in reversed(lines) if line.startswith(beginning)), "")


def _reason(lines: list[str]) -> str:
    """What a pod says last: the sentence for people, if it came to that."""
    return _last(lines, ERROR).removeprefix(ERROR) or (lines[-1].strip() if lines else "it left no log")


@contextmanager
def _cancellable(jobs: TrainJobs, name: str) -> Iterator[None]:
    """Delete the job if this step is asked to end: nobody would wait for it any more.

    Raises:
        LooplineError: it was asked to.
    """

    def cancel(_number: int, _frame: FrameType | None) -> None:
        raise _CancelledError

    listens = threading.current_thread() is threading.main_thread()  # no other may
    former = signal.signal(signal.SIGTERM, cancel) if listens else None
    try:
        yield
    except (_CancelledError, KeyboardInterrupt) as error:
        jobs.delete(name)
        raise LooplineError(f"the step was cancelled, and TrainJob {name} was deleted") from error
    finally:
        if listens:
            signal.signal(signal.SIGTERM, former)

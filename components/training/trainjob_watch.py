"""Waits for a TrainJob, prints its progress, and gives up on one that cannot start or takes too long."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from loopline.components.contract import cluster_job
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.io.kubernetes_errors import UnreachableError
from loopline.components.training import trainjob, weights
from loopline.components.training.kubernetes_api import TrainJobs

# Seconds between two requests for the state of a TrainJob.
POLL = 5.0
# How long the API may be unreachable, and how long a pod may fail to start, before that is an error.
API_AWAY = timedelta(minutes=10)
NOT_STARTING = timedelta(minutes=5)
PROGRESS = "progress:"
ERROR = "error: "


@dataclass(frozen=True)
class _Observation:
    """The state of a TrainJob, None if it is gone; its log; and the container that cannot start, if any."""

    state: trainjob.State | None
    log: list[str]
    blocked: str | None


def wait(jobs: TrainJobs, name: str, deadline: timedelta, weights_uri: str) -> None:
    """Return when the TrainJob is complete; print its progress meanwhile.

    Raises:
        LooplineError: it failed (and is kept for inspection), took too long or cannot start (and is deleted), was
            deleted by somebody else, or the API stays unreachable (and it keeps running).
    """
    begun = startable = time.monotonic()
    printed = ""
    for seen in _observe(jobs, name):
        state, now = seen.state, time.monotonic()
        if state is None:
            if weights.MANIFEST in storage.names(weights_uri):  # another step downloaded them
                return
            raise LooplineError(
                f"TrainJob {name} was deleted while it was waited for; run the step again to start anew"
            )
        if state.phase == "complete":
            return
        if state.phase == "failed":
            raise LooplineError(f"TrainJob {name} failed: {_reason(seen.log)} ({state.message})")
        progress = _last(seen.log, PROGRESS) or f"{PROGRESS} TrainJob {name}: {seen.blocked or state.message}"
        if progress != printed:
            print(progress, flush=True)
            printed = progress
        startable = startable if seen.blocked else now
        if now - startable > NOT_STARTING.total_seconds():
            jobs.delete(name)
            raise LooplineError(f"TrainJob {name} cannot start, and was deleted: {seen.blocked}")
        if now - begun > deadline.total_seconds():
            jobs.delete(name)
            raise LooplineError(
                f"TrainJob {name} was not done in {deadline} ({state.message}) and was deleted; its checkpoint stays: "
                f"run the step again to resume, or raise {cluster_job.DEADLINE} of TrainingRuntime {trainjob.RUNTIME}"
            )


def _observe(jobs: TrainJobs, name: str) -> Iterator[_Observation]:
    """Observations of a TrainJob, one every `POLL` seconds.

    Raises:
        LooplineError: the API stays unreachable.
    """
    reached = time.monotonic()
    while True:
        try:
            job = jobs.find(name)
            state = trainjob.state_of(job) if job else None
            log = jobs.log(name) if state and state.phase in {"running", "failed"} else []
            blocked = jobs.blocked_container(name) if state and state.phase == "waiting" else None
        except UnreachableError as error:
            if time.monotonic() - reached > API_AWAY.total_seconds():
                raise LooplineError(
                    f"{error}; TrainJob {name} keeps running, and this step finds it if run again"
                ) from error
        else:
            reached = time.monotonic()
            yield _Observation(state, log, blocked)
        time.sleep(POLL)


def _last(lines: list[str], prefix: str) -> str:
    return next((line for line in reversed(lines) if line.startswith(prefix)), "")


def _reason(lines: list[str]) -> str:
    """Why a pod failed: its last line with our error, or else its last line."""
    return _last(lines, ERROR).removeprefix(ERROR) or (lines[-1].strip() if lines else "it left no log")

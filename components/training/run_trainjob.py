"""Trains in a TrainJob: uploads the examples, creates the TrainJob, waits for it and downloads the weights."""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from loopline.components.contract import cluster_job, usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.errors import LooplineError
from loopline.components.io import atomic, storage
from loopline.components.training import trainjob, trainjob_watch, weights
from loopline.components.training.kubernetes_api import TrainJobs


class _CancelledError(Exception):
    """This step received SIGTERM."""


def run_trainjob(
    package: str, examples_path: Path | str, weights_path: Path | str, tracking: str, store: str
) -> dict[str, float]:
    """Train the use case's model in a TrainJob and write the weights artifact.

    If an earlier attempt at the same training left a TrainJob, this waits for it while it runs, and replaces it if it
    failed; the new one resumes from its checkpoint.

    Args:
        package: the use case.
        examples_path: training examples.
        weights_path: folder to write.
        tracking: MLflow URI for the TrainJob; empty for none.
        store: URI of a folder that this process and the nodes can reach.

    Returns:
        What to log: rows, epochs, held-out loss.

    Raises:
        LooplineError: no cluster takes the TrainJob, or it failed, took too long or was deleted.
    """
    case = usecase.load(package)
    dataset = Dataset.open(examples_path)
    jobs = TrainJobs.connect()
    runtime = jobs.runtime()
    deadline = cluster_job.deadline_of(runtime)
    name = trainjob.name_of(case, dataset.digest, tracking)
    folder = f"{store}/{name}"
    arguments = [
        f"--usecase={package}",
        f"--examples={folder}/examples",
        f"--weights={folder}/weights",
        f"--checkpoint={folder}/checkpoint",
        f"--tracking={tracking}",
    ]
    with _deleted_on_cancel(jobs, name):
        if _exists(jobs, name):
            print(f"{trainjob_watch.PROGRESS} waiting for the existing TrainJob {name}", flush=True)
        else:
            storage.put(dataset.path, f"{folder}/examples")
            jobs.create(trainjob.manifest(name, runtime, arguments))
        trainjob_watch.wait(jobs, name, deadline, f"{folder}/weights")
    figures = _fetch_weights(f"{folder}/weights", Path(weights_path))
    jobs.delete(name)
    return figures


def _exists(jobs: TrainJobs, name: str) -> bool:
    """Whether an earlier attempt's TrainJob can be waited for; deletes one that has failed.

    Raises:
        LooplineError: a deleted one does not disappear.
    """
    until = time.monotonic() + trainjob_watch.API_AWAY.total_seconds()
    while job := jobs.find(name):
        is_deleted = "deletionTimestamp" in job["metadata"]
        if not is_deleted and trainjob.state_of(job).phase != "failed":
            return True
        if time.monotonic() > until:
            raise LooplineError(
                f"TrainJob {name} of an earlier attempt does not go away; delete it, and its finalizers"
            )
        if not is_deleted:
            jobs.delete(name)
        time.sleep(trainjob_watch.POLL)
    return False


def _fetch_weights(uri: str, weights_path: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="loopline-weights-") as folder:
        fetched = storage.fetch(uri, Path(folder), manifest=weights.MANIFEST)
        figures = weights.figures(fetched)
        with atomic.new_folder(weights_path) as partial:
            shutil.copytree(fetched, partial, dirs_exist_ok=True)
    return figures


@contextmanager
def _deleted_on_cancel(jobs: TrainJobs, name: str) -> Iterator[None]:
    """Delete the TrainJob if this step is cancelled: nobody would wait for it any more.

    Raises:
        LooplineError: the step was cancelled.
    """

    def cancel(_number: int, _frame: FrameType | None) -> None:
        raise _CancelledError

    in_main_thread = threading.current_thread() is threading.main_thread()  # only that may handle signals
    former = signal.signal(signal.SIGTERM, cancel) if in_main_thread else None
    try:
        yield
    except (_CancelledError, KeyboardInterrupt) as error:
        jobs.delete(name)
        raise LooplineError(f"the step was cancelled, and TrainJob {name} was deleted") from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, former)

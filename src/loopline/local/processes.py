"""Processes for steps: forked from a fork server that has imported the heavy libraries, or started cold.

Importing Feast, MLflow and torch takes longer than most steps do their work. A fork server imports them once, in the
background, while the first steps run.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path

from loopline.local.execution import Request, end_with_parent, execute, write_request

# Only libraries: each step imports our own code afresh.
PRELOAD = (
    "__main__",
    "kfp.dsl.executor_main",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "pandera.pandas",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "torch",
    "onnxruntime",
    "sklearn.metrics",
    "jinja2",
    "feast",
)
# Stages whose imports are light enough not to wait for the fork server.
COLD_STAGES = frozenset({"data"})
STEP_ENVIRONMENT = {
    "_KFP_RUNTIME": "true",  # makes `import kfp` in a step a matter of milliseconds
    # A preloaded library keeps a semaphore, and a warning about it at exit would be noise.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}
POLL = 0.05

Progress = Callable[[str], None]


class StepProcesses:
    """Starts steps; the fork server is started with the first of them and ends with this process."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._warm = threading.Event()
        self._warming: threading.Thread | None = None

    def wait_for(self, stage: str) -> None:
        """Return once a step of that stage can start: at once if its imports are light, else from the fork server."""
        self._warm_up()
        if stage not in COLD_STAGES:
            self._warm.wait()

    def run(self, request: Request, progress: Progress) -> int:
        """Run one step to its end and return its exit code, negative if a signal ended it.

        Args:
            request: what to run.
            progress: called with each line of the log as it appears.
        """
        run = self._run_forked if self._warm.is_set() else self._run_cold
        return run(request, progress)

    def pool(self) -> ProcessPoolExecutor:
        """A pool of one process for functions that need heavy imports: warm, or plain if no step has run yet."""
        context = self._context if self._warming else multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)

    def _warm_up(self) -> None:
        """Start the fork server, unless it runs, without waiting for it."""
        if self._warming is None:
            self._context.set_forkserver_preload(list(PRELOAD))
            with _environment(STEP_ENVIRONMENT):
                forkserver.ensure_running()
            atexit.register(_end_fork_server)
            self._warming = threading.Thread(target=self._wait_until_warm, daemon=True)
            self._warming.start()

    def _wait_until_warm(self) -> None:
        probe = self._context.Process(target=os.getpid, daemon=True)
        probe.start()
        probe.join()
        self._warm.set()

    def _run_forked(self, request: Request, progress: Progress) -> int:
        process = self._context.Process(target=execute, args=(request,), daemon=True)
        process.start()
        tail = _Tail(Path(request.log), progress)
        try:
            while not wait([process.sentinel], timeout=POLL):
                tail.read()
            process.join()
        finally:
            if process.is_alive():
                process.kill()
        tail.read()
        return process.exitcode or 0

    @staticmethod
    def _run_cold(request: Request, progress: Progress) -> int:
        file = Path(request.log).with_suffix(".request.json")
        write_request(request, file)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "loopline.local.execution", str(file)],
            env={**os.environ, **STEP_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        tail = _Tail(Path(request.log), progress)
        try:
            while process.poll() is None:
                tail.read()
                time.sleep(POLL)
        finally:
            if process.poll() is None:
                process.kill()
            file.unlink(missing_ok=True)
        tail.read()
        return process.returncode


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for a process that is started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_fork_server() -> None:
    """End it even in the middle of its imports, during which it would hold our output open."""
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)  # multiprocessing has no public access to it
    if server:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


class _Tail:
    """Reads the lines that were appended to a file since the last read."""

    def __init__(self, path: Path, line: Progress) -> None:
        self._path, self._line, self._position = path, line, 0

    def read(self) -> None:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._position += len(complete)
        for line in complete.decode(errors="replace").splitlines():
            if line.strip():
                self._line(line)

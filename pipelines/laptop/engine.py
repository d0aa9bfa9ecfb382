"""Running one pipeline: compile, hand the IR to kfp.local, keep the record."""

import contextlib
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from kfp import components, local
from kfp.local import cache as kfp_cache
from kfp.local import subprocess_task_handler
from kfp.local.status import Status
from kfp.local.subprocess_task_handler import SubprocessTaskHandler

from components.contract import atomic, usecase
from components.contract.errors import LooplineError
from pipelines import compiler
from pipelines.laptop import graph
from pipelines.laptop.cache import ContentCache
from pipelines.laptop.execution import Request
from pipelines.laptop.home import Home
from pipelines.laptop.key import KeyMaker
from pipelines.laptop.processes import StepProcesses
from pipelines.laptop.recorder import Recorder, Watcher
from pipelines.laptop.records import Run, new_run


class Engine:
    """Runs pipelines on this machine, one after the other; their steps share one set of warm processes."""

    def __init__(self, home: Home, watcher: Watcher, *, reuse: bool = True) -> None:
        self.home = home
        self._watcher = watcher
        self._reuse = reuse
        self._processes = StepProcesses()

    def pool(self) -> ProcessPoolExecutor:
        """A process for functions that need heavy imports; the caller shuts it down."""
        return self._processes.pool()

    def wait_until_warm(self) -> None:
        """Return when heavy libraries are imported and every further step starts from a warm process."""
        self._processes.wait_for("training")

    def run(self, pipeline: Any, package: str, arguments: Mapping[str, Any]) -> Run:
        """Run a pipeline to its end and return its record, failed or not.

        Args:
            pipeline: the KFP pipeline object.
            package: the use case.
            arguments: values of all its parameters but ``usecase``.

        Raises:
            LooplineError: it could not even start.
        """
        case = usecase.load(package)
        run = new_run(self.home.runs, pipeline.name, package, arguments)
        folder = self.home.runs / run.id
        ir = compiler.compile_to(pipeline, folder / "pipeline.yaml", compiler.code_tags())
        run.steps = graph.steps_of(ir)
        recorder = Recorder(run, self.home.runs, self._watcher)
        error = ""
        try:
            self._execute(folder, KeyMaker(case), recorder, {"usecase": package, **arguments})
        except LooplineError as problem:
            error = str(problem)
        except RuntimeError as problem:  # kfp's, for a failed task; the step has said why
            error = "" if run.error else f"kfp: {problem}"
        except KeyboardInterrupt:
            error = "interrupted; run the same command again to resume from its finished steps"
        finally:
            atomic.remove_leftovers(folder)
        recorder.close(error)
        return run

    def _execute(self, folder: Path, keys: KeyMaker, recorder: Recorder, arguments: dict[str, Any]) -> None:
        def cache(cache_root: str) -> ContentCache:
            return ContentCache(cache_root, keys, recorder, reuse=self._reuse)

        def handler(*, image: str, full_command: list[str], env_vars: dict[str, str], **_: Any) -> "_StepHandler":
            return _StepHandler(image, full_command, env_vars, self._processes, recorder)

        with _kfp_log(folder / "kfp.log"), _plugged_in(cache, handler):
            local.init(
                local.SubprocessRunner(use_venv=False),
                pipeline_root=str(folder / "artifacts"),
                workspace_root=str(folder / "workspace"),
                enable_caching=True,
                cache_root=str(self.home.cache),
            )
            components.load_component_from_file(str(folder / "pipeline.yaml"))(**arguments)


class _StepHandler(SubprocessTaskHandler):  # type: ignore[misc] # kfp is untyped
    """Runs a task in one of our processes instead of a shell's, and keeps its record."""

    def __init__(
        self, image: str, command: list[str], env: dict[str, str], processes: StepProcesses, recorder: Recorder
    ) -> None:
        self.image, self._command, self._env = image, command, env
        self._processes, self._recorder = processes, recorder

    def run(self) -> Status:
        request = self._request()
        step = self._recorder.step_of(request.output_file.parent.name)
        failure = Path(request.failure)
        self._recorder.started(step)
        self._recorder.progressed(step, "progress: waiting for libraries to be imported, once")
        self._processes.wait_for(step.stage)
        begun = time.monotonic()
        code = self._processes.run(request, lambda line: self._recorder.progressed(step, line))
        error = ""
        if code < 0:
            error = f"its process was killed by signal {-code}; run the same command again to resume here"
        elif code:
            error = failure.read_text(encoding="utf-8") if failure.is_file() else f"exit code {code}; see {request.log}"
        self._recorder.ended(step, time.monotonic() - begun, error)
        return Status.FAILURE if error else Status.SUCCESS

    def _request(self) -> Request:
        probe = Request.from_command(self._command, Path(), Path(), {})
        log = self._recorder.log_of(self._recorder.step_of(probe.output_file.parent.name))
        # What the image build sets in a container: the revision of the code that runs, here the image's tag.
        environment = {"LOOPLINE_REVISION": self.image.rpartition(":")[2], **self._env}
        return Request.from_command(self._command, log, log.with_suffix(".failure"), environment)


@contextlib.contextmanager
def _plugged_in(cache: Any, handler: Any) -> Iterator[None]:
    """kfp.local has no setting for its cache or its task handler; for the time of a run we take their places."""
    former = kfp_cache.LocalCache, subprocess_task_handler.SubprocessTaskHandler
    kfp_cache.LocalCache, subprocess_task_handler.SubprocessTaskHandler = cache, handler
    try:
        yield
    finally:
        kfp_cache.LocalCache, subprocess_task_handler.SubprocessTaskHandler = former
        kfp_cache.reset_local_cache_singleton()


@contextlib.contextmanager
def _kfp_log(path: Path) -> Iterator[None]:
    """Send what kfp.local prints to a file: people get the watcher's account instead."""
    with (
        path.open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.captureWarnings(capture=False)
        yield

"""Task handlers for kfp.local: one runs a task in a process of ours, one in a container."""

import abc
import time
from pathlib import Path

from kfp.local.status import Status
from kfp.local.task_handler_interface import ITaskHandler

from loopline.components.errors import LooplineError
from loopline.local.containers import Containers, failure_sentence
from loopline.local.execution import Request
from loopline.local.processes import StepProcesses
from loopline.local.recorder import Recorder
from loopline.local.records import StepRecord


class StepHandler(ITaskHandler):  # type: ignore[misc] # kfp is untyped
    """Runs a task and keeps its record."""

    def __init__(self, image: str, command: list[str], env: dict[str, str], recorder: Recorder) -> None:
        self._image, self._command, self._recorder = image, command, recorder
        self._env = {"LOOPLINE_RUN": recorder.run.id, **env}  # on a cluster, the pod takes it from its label

    def run(self) -> Status:
        """Run the task."""
        step = self._recorder.step_of(Request.from_command(self._command, Path(), Path(), {}).output_file.parent.name)
        self._recorder.started(step)
        self._prepare(step)
        begun = time.monotonic()
        error = self._run(step)
        self._recorder.ended(step, time.monotonic() - begun, error)
        return Status.FAILURE if error else Status.SUCCESS

    def _prepare(self, step: StepRecord) -> None:
        """Wait for what does not count as time of the step."""

    @abc.abstractmethod
    def _run(self, step: StepRecord) -> str:
        """Run the task; return why it failed in one sentence, or an empty string."""


class ProcessHandler(StepHandler):
    """Runs a task in one of our processes instead of a shell."""

    def __init__(
        self, image: str, command: list[str], env: dict[str, str], processes: StepProcesses, recorder: Recorder
    ) -> None:
        super().__init__(image, command, env, recorder)
        self._processes = processes

    def _prepare(self, step: StepRecord) -> None:
        self._recorder.progressed(step, "progress: waiting until libraries are imported, once")
        self._processes.wait_for(step.stage)

    def _run(self, step: StepRecord) -> str:
        # Set by the image build in a container: the revision of the code, here the image's tag.
        environment = {"LOOPLINE_REVISION": self._image.rpartition(":")[2], **self._env}
        log = self._recorder.log_of(step)
        request = Request.from_command(self._command, log, log.with_suffix(".failure"), environment)
        failure = Path(request.failure)
        code = self._processes.run(request, lambda line: self._recorder.progressed(step, line))
        if code < 0:
            return f"its process was killed by signal {-code}; run the same command again to resume here"
        if code and failure.is_file():
            return failure.read_text(encoding="utf-8")
        return f"exit code {code}; see {request.log}" if code else ""


class ContainerHandler(StepHandler):
    """Runs a task in a container and keeps its log and its exit code."""

    def __init__(
        self, image: str, command: list[str], env: dict[str, str], containers: Containers, recorder: Recorder
    ) -> None:
        super().__init__(image, command, env, recorder)
        self._containers = containers

    def _run(self, step: StepRecord) -> str:
        log = self._recorder.log_of(step)
        try:
            code = self._containers.run(
                self._image, self._command, self._env, log, lambda line: self._recorder.progressed(step, line)
            )
        except LooplineError as error:
            return str(error)
        return failure_sentence(log, code) if code else ""

"""The record of a run while it runs: the cache and the steps report to it, and it notifies a watcher."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from loopline.local.answer import read_answer
from loopline.local.records import Output, RunRecord, StepRecord, now


class Watcher(Protocol):
    """Is notified of the progress of a run."""

    def started(self, run: RunRecord, step: StepRecord) -> None:
        """A step began to run."""

    def progressed(self, run: RunRecord, step: StepRecord, line: str) -> None:
        """A running step printed a line."""

    def finished(self, run: RunRecord, step: StepRecord) -> None:
        """A step succeeded, failed or came from the cache."""


class Recorder:
    """Keeps the record of one run current on disk."""

    def __init__(self, run: RunRecord, runs: Path, watcher: Watcher) -> None:
        self.run = run
        self.folder = runs / run.id
        self._runs = runs
        self._watcher = watcher
        self._by_task = {step.task: step for step in run.steps}
        self._begun = time.monotonic()
        # kfp runs iterations of a loop side by side, each from its key to its end in one thread.
        self._of_this_thread = threading.local()
        self._changing = threading.RLock()

    def reached(self, component: str, arguments: Mapping[str, Any]) -> StepRecord:
        """The step, ``comp-<task>`` to kfp, whose turn it is in this thread; in a loop, that of one item."""
        step = self._by_task[component.removeprefix("comp-")]
        if step.item:
            step = self._iteration(step, str(arguments[step.item]))
        setattr(self._of_this_thread, step.task, step)
        return step

    def step_of(self, component: str) -> StepRecord:
        """The step that kfp calls ``comp-<task>``; in a loop, the one of this thread."""
        task = component.removeprefix("comp-")
        step: StepRecord = getattr(self._of_this_thread, task, None) or self._by_task[task]
        return step

    def _iteration(self, step: StepRecord, item: str) -> StepRecord:
        """The step of one item. The first replaces the loop's step, the others come after it."""
        name = f"{step.name}[{item}]"
        with self._changing:
            alike = [known for known in self.run.steps if known.task == step.task]
            for known in alike:
                if known.name == name:
                    return known
            one = step.model_copy(update={"name": name, "item": ""}, deep=True)
            self.run.steps.insert(self.run.steps.index(alike[-1]) + 1, one)
            if step in alike:
                self.run.steps.remove(step)
            for later in self.run.steps:
                if alike[-1].name in later.needs:
                    index = later.needs.index(alike[-1].name)
                    later.needs[index : index + 1] = [name] if step in alike else [alike[-1].name, name]
            return one

    def log_of(self, step: StepRecord) -> Path:
        """The log file of a step."""
        return self.folder / "logs" / f"{step.name.replace('/', '.')}.log"

    def hit(self, step: StepRecord, origin: str, outputs: dict[str, Output], values: dict[str, Any]) -> None:
        """A step came from the cache."""
        step.state, step.outputs, step.values, step.started = "cached", outputs, values, now()
        step.refused, step.reason = read_answer(step)
        step.why = f"same code, lock, parameters and inputs as in run {origin}"
        self._save()
        self._watcher.finished(self.run, step)

    def started(self, step: StepRecord) -> None:
        """A step begins to run."""
        step.state, step.started = "running", now()
        self._save()
        self._watcher.started(self.run, step)

    def progressed(self, step: StepRecord, line: str) -> None:
        """A running step printed a line."""
        self._watcher.progressed(self.run, step, line)

    def ended(self, step: StepRecord, seconds: float, error: str = "") -> None:
        """A step's process ended."""
        step.seconds = round(seconds, 3)
        step.state = "failed" if error else "succeeded"
        if error:
            step.why = error
            self.run.error = f"{step.name}: {error}"
        self._save()
        self._watcher.finished(self.run, step)

    def made(self, step: StepRecord, outputs: dict[str, Output], values: dict[str, Any]) -> None:
        """A step's outputs are known."""
        step.outputs, step.values = outputs, values
        step.refused, step.reason = read_answer(step)
        self._save()

    def close(self, error: str = "") -> None:
        """The run ended; steps that did not run were skipped, or come after a failure."""
        failed = bool(error or self.run.error)
        for step in self.run.steps:
            if step.state == "waiting":
                step.state = "waiting" if failed else "skipped"
                step.why = "an earlier step failed" if failed else "its condition did not hold"
        self.run.error = self.run.error or error
        self.run.state = "failed" if failed else "succeeded"
        self.run.seconds = round(time.monotonic() - self._begun, 3)
        self._save()

    def _save(self) -> None:
        with self._changing:
            self.run.save(self._runs)

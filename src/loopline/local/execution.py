"""The process of a step: KFP's own executor runs the frozen component, as it would in a container.

Started cold as ``python -m loopline.local.execution REQUEST``, or called in a process forked from a warm one.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from loopline.components.errors import LooplineError
from loopline.components.io import atomic


@dataclass(frozen=True)
class Request:
    """One execution of one step.

    Attributes:
        source: the component's frozen Python source.
        arguments: the arguments of KFP's executor, placeholders filled in.
        log: file for all output.
        failure: file for the reason, one sentence, if the step fails.
        environment: variables set for the step.
    """

    source: str
    arguments: tuple[str, ...]
    log: str
    failure: str
    environment: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_command(cls, command: list[str], log: Path, failure: Path, environment: dict[str, str]) -> Self:
        """Read KFP's ``sh -c <script> <source> --executor_input ... --function_to_execute ...``."""
        start = command.index("--executor_input")
        return cls(
            command[start - 1], tuple(command[start:]), str(log), str(failure), tuple(sorted(environment.items()))
        )

    @property
    def output_file(self) -> Path:
        """Where KFP's executor leaves the outputs; its folder is the step's own."""
        executor_input = json.loads(self.arguments[1])
        return Path(executor_input["outputs"]["outputFile"])


def execute(request: Request) -> None:
    """Run the step in this process and leave with exit code 0 or 1; never returns."""
    end_with_parent()
    _redirect_output(Path(request.log))
    os.environ.update(request.environment)
    os.environ["TZ"] = "UTC"  # as in a container; Feast's SQLite store goes through local time
    time.tzset()
    code = 1
    try:
        _run_component(request)
        code = 0
    except LooplineError as error:
        _fail(request, str(error))
    except BaseException as error:  # noqa: BLE001 - any failure has to be reported
        traceback.print_exc()
        if atomic.is_disk_full(error):
            _fail(request, "the disk is full; free some space and run the same command again")
        else:
            first_line = str(error).strip().splitlines()[:1]
            _fail(request, f"{type(error).__name__}: {first_line[0] if first_line else 'no message'}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a forked process must not run the exit handlers of its parent


def _run_component(request: Request) -> None:
    from kfp.dsl.executor_main import executor_main

    with tempfile.TemporaryDirectory(prefix="loopline-step-") as folder:
        module = Path(folder) / "ephemeral_component.py"
        module.write_text(request.source, encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(module), *request.arguments]
        executor_main()


def _fail(request: Request, sentence: str) -> None:
    print(f"error: {sentence}", flush=True)
    Path(request.failure).write_text(sentence, encoding="utf-8")


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def end_with_parent() -> None:
    """End with the run: a step that outlived a killed run would write to the same folders as the next one.

    The parent of a forked step is the fork server, which lives as long as any of its steps, so the run is watched.
    """
    run, parent = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if run:
            run.join()
        while not run and os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry of a cold process: the request is a JSON file."""
    raw = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    execute(Request(raw["source"], tuple(raw["arguments"]), raw["log"], raw["failure"], tuple(raw["environment"])))


def write_request(request: Request, path: Path) -> None:
    """Write what `main` reads."""
    atomic.write_text(path, json.dumps(asdict(request)))


if __name__ == "__main__":
    main()

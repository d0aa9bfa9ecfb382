"""Runs one pipeline: compiles it, passes the IR to kfp.local, keeps the record."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from kfp import components, local
from kfp.local import cache as kfp_cache
from kfp.local import docker_task_handler, subprocess_task_handler

from loopline.compiler import pipeline_ir
from loopline.components.contract import usecase
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.images import catalogue, code
from loopline.local import graph
from loopline.local.cache import ContentCache
from loopline.local.containers import Containers
from loopline.local.handlers import ContainerHandler, ProcessHandler, StepHandler
from loopline.local.key import KeyMaker
from loopline.local.processes import StepProcesses
from loopline.local.recorder import Recorder, Watcher
from loopline.local.records import RunRecord
from loopline.local.run_store import new_run
from loopline.local.workspace import Workspace


class Engine:
    """Runs pipelines on this machine, one after the other.

    Args:
        workspace: where state lies.
        watcher: is notified of progress.
        reuse: whether to read from the cache.
        in_containers: run each step in the image of its stage; else steps share one set of warm processes.
    """

    def __init__(
        self, workspace: Workspace, watcher: Watcher, *, reuse: bool = True, in_containers: bool = False
    ) -> None:
        self.workspace = workspace
        self._watcher = watcher
        self.reuse = reuse
        self._in_containers = in_containers
        self._processes = StepProcesses()

    def pool(self) -> ProcessPoolExecutor:
        """A process pool for functions that need heavy imports; the caller shuts it down."""
        return self._processes.pool()

    def wait_until_warm(self) -> None:
        """Return once heavy libraries are imported and every further step starts from a warm process."""
        self._processes.wait_for("training")

    def run(self, pipeline: Any, package: str, arguments: Mapping[str, Any]) -> RunRecord:
        """Run a pipeline to its end and return its record, failed or not.

        Args:
            pipeline: the KFP pipeline object.
            package: the use case.
            arguments: values of all its parameters but ``usecase``.

        Raises:
            LooplineError: it could not start: the use case is missing, or a step is not declared.
        """
        case = usecase.load(package)
        tags = code.code_tags(case)
        ir = pipeline_ir.with_images(pipeline_ir.ir_of(pipeline), tags)
        locations = graph.location_parameters(ir)
        containers = self._containers(ir, case, arguments, locations) if self._in_containers else None
        run = new_run(self.workspace.runs, pipeline.name, package, arguments)
        run.steps = graph.steps_of(ir)
        folder = self.workspace.runs / run.id
        atomic.write_text(folder / "pipeline.yaml", pipeline_ir.as_yaml(ir))
        recorder = Recorder(run, self.workspace.runs, self._watcher)
        error = ""
        try:
            environments = {stage: catalogue.environment(stage) for stage in tags} if containers else {}
            keys = KeyMaker(case, environments)
            self._execute(folder, keys, recorder, {"usecase": package, **arguments}, containers)
        except LooplineError as problem:
            error = str(problem)
        except RuntimeError as problem:  # raised by kfp for a failed task; the step has recorded why
            error = "" if run.error else f"kfp: {problem}"
        except KeyboardInterrupt:
            error = "interrupted; run the same command again to resume from its finished steps"
        finally:
            atomic.remove_leftovers(folder)
        recorder.close(error)
        return run

    def _containers(
        self, ir: dict[str, Any], case: UseCase, arguments: Mapping[str, Any], locations: set[str]
    ) -> Containers:
        """The container engine for the steps of a pipeline, once all their images are found.

        Raises:
            LooplineError: no container engine answers, or an image is missing.
        """
        containers = Containers(self.workspace, arguments, locations)
        executors = ir["deploymentSpec"]["executors"].values()
        containers.require([executor["container"]["image"] for executor in executors], case)
        containers.remove_leftovers()
        return containers

    def _execute(
        self,
        folder: Path,
        keys: KeyMaker,
        recorder: Recorder,
        arguments: dict[str, Any],
        containers: Containers | None,
    ) -> None:
        def cache(cache_root: str) -> ContentCache:
            return ContentCache(cache_root, keys, recorder, reuse=self.reuse)

        def handler(*, image: str, full_command: list[str], env_vars: dict[str, str], **_: Any) -> StepHandler:
            if containers:
                return ContainerHandler(image, full_command, env_vars, containers, recorder)
            return ProcessHandler(image, full_command, env_vars, self._processes, recorder)

        with _kfp_log(folder / "kfp.log"), _plugged_in(cache, handler):
            local.init(
                local.DockerRunner() if containers else local.SubprocessRunner(use_venv=False),
                pipeline_root=str(folder / "artifacts"),
                workspace_root=str(folder / "workspace"),
                enable_caching=True,
                cache_root=str(self.workspace.cache),
            )
            components.load_component_from_file(str(folder / "pipeline.yaml"))(**arguments)


@contextlib.contextmanager
def _plugged_in(cache: Any, handler: Any) -> Iterator[None]:
    """Replace kfp.local's cache and task handlers for the time of a run: it has no setting for them."""
    patches = (
        (kfp_cache, "LocalCache", cache),
        (subprocess_task_handler, "SubprocessTaskHandler", handler),
        (docker_task_handler, "DockerTaskHandler", handler),
    )
    former = [getattr(module, name) for module, name, _ in patches]
    for module, name, ours in patches:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for (module, name, _), theirs in zip(patches, former, strict=True):
            setattr(module, name, theirs)
        kfp_cache.reset_local_cache_singleton()


@contextlib.contextmanager
def _kfp_log(path: Path) -> Iterator[None]:
    """Send what kfp.local prints to a file; people see what the watcher prints."""
    with (
        path.open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.captureWarnings(capture=False)
        yield

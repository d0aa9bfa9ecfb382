"""``loopline compile``: from the DAGs to files."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from components.contract import atomic
from pipelines import compiler, placement


def compile_ir(pipeline: str, folder: Path, tag: str, registry: str, console: Console) -> None:
    """Write the KFP IR of one pipeline or of all, as a KFP server takes it.

    Args:
        pipeline: its name; empty for all.
        folder: where the files go.
        tag: tag of the stage images; empty for the tags that ``make images`` gives to this code.
        registry: prefix of the image names.
        console: where to say what was written.

    Raises:
        LooplineError: there is no such pipeline.
    """
    tags = dict.fromkeys(compiler.STAGES, tag) if tag else compiler.code_tags()
    for name in [compiler.known_pipeline(pipeline)] if pipeline else compiler.PIPELINES:
        ir = compiler.with_images(compiler.ir_of(compiler.load(name)), tags, registry)
        path = folder / f"{name}.yaml"
        atomic.write_text(path, compiler.as_yaml(*placement.placed(ir)))
        console.print(f"{path}", highlight=False)


def compile_manifests(folder: Path, packages: Sequence[str], console: Console) -> None:
    """Write the Kubernetes objects of all pipelines and schedules; what stands for nothing any more is deleted.

    Args:
        folder: where the files go.
        packages: use cases outside ``usecases/`` whose schedules are wanted.
        console: where to say what was written.

    Raises:
        LooplineError: a use case is none, or its schedule cannot be.
    """
    from pipelines.cluster import objects

    for path in objects.write(folder, objects.cases_in(compiler.PROJECT / "usecases", packages)):
        console.print(f"{path}", highlight=False)

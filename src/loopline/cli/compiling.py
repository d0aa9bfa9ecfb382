"""``loopline compile``: from the DAGs to files."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loopline import project
from loopline.cluster import placement
from loopline.compiler import pipeline_ir
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.images import catalogue, code


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
    tags = dict.fromkeys(catalogue.STAGES, tag) if tag else code.code_tags()
    for name in [pipeline_ir.known_pipeline(pipeline)] if pipeline else pipeline_ir.PIPELINES:
        ir = pipeline_ir.with_images(pipeline_ir.ir_of(pipeline_ir.load(name)), tags, registry)
        path = folder / f"{name}.yaml"
        atomic.write_text(path, pipeline_ir.as_yaml(*placement.placed(ir)))
        console.print(f"{path}", highlight=False)


def compile_manifests(folder: Path, packages: Sequence[str], console: Console) -> None:
    """Write what Kubernetes holds of use cases: a kustomize base for each, named after it.

    Args:
        folder: takes a folder for each use case.
        packages: the use cases; if none is named, all of this project.
        console: where to say what was written.

    Raises:
        LooplineError: a package is not a use case, its objects cannot be named after it, or the folder is another base.
    """
    from loopline.cluster import names, objects

    if (folder / objects.KUSTOMIZATION).is_file():
        raise LooplineError(
            f"{folder} is a kustomize base itself; name the folder that takes one base for each use case, "
            "such as manifests/usecases"
        )
    for case in objects.chosen_usecases(project.path("usecases"), packages):
        base = folder / names.usecase_name(case)
        objects.write(base, case)
        console.print(f"{base}", highlight=False)

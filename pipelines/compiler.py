"""From the DAGs in this folder to KFP IR, with the image of each stage named for real."""

import importlib
from pathlib import Path
from typing import Any

import yaml

from components.contract import atomic, digest
from components.contract.errors import LooplineError

# By the name people type; the KFP name has dashes.
PIPELINES = ("training", "validation", "batch_inference", "materialisation", "retrain")
STAGES = ("data", "features", "training", "validation", "registry", "inference")
PROJECT = Path(__file__).resolve().parent.parent
# The parts of the code that every image holds.
SHARED_CODE = ("components/contract",)


def known_pipeline(name: str) -> str:
    """The module name of a pipeline, given with dashes or underscores.

    Raises:
        LooplineError: there is no such pipeline.
    """
    module = name.replace("-", "_")
    if module not in PIPELINES:
        raise LooplineError(f"there is no pipeline '{name}'; there are {', '.join(PIPELINES)}")
    return module


def load(name: str) -> Any:
    """The KFP pipeline object of that name."""
    module = known_pipeline(name)
    return getattr(importlib.import_module(f"pipelines.{module}"), module)


def compile_to(pipeline: Any, path: Path, tags: dict[str, str], registry: str = "") -> dict[str, Any]:
    """Compile a pipeline to KFP IR at ``path`` and return that IR.

    Args:
        pipeline: the KFP pipeline object.
        path: the YAML file to write.
        tags: image tag by stage; components name their image ``loopline-<stage>`` and get ``:<tag>`` here.
        registry: prefix of the image names, for example ``ghcr.io/acme/``.
    """
    from kfp import compiler

    with atomic.new_file(path) as partial:
        target = partial.with_suffix(".yaml")
        compiler.Compiler().compile(pipeline, str(target))
        ir = yaml.safe_load(target.read_text(encoding="utf-8"))
        for executor in ir["deploymentSpec"]["executors"].values():
            image = executor["container"]["image"]
            executor["container"]["image"] = f"{registry}{image}:{tags[image.removeprefix('loopline-')]}"
        text = yaml.safe_dump(ir, sort_keys=True, width=120)
        target.unlink()
        partial.write_text(text, encoding="utf-8")
    return dict(ir)


def stage_code(stage: str) -> dict[str, str]:
    """Digest of each Python file that a stage's image holds, by path in the project."""
    found = {}
    for folder in (f"components/{stage}", *SHARED_CODE):
        for name, value in digest.of_files(PROJECT / folder, "*.py").items():
            found[f"{folder}/{name}"] = value
    return found


def interface_digest(stage: str) -> str:
    """Digest of a stage's KFP interface, components/<stage>/component.py.

    A pipeline freezes the interface and an image holds the code behind it; both carry this digest, so that a pipeline
    compiled at another revision than the image can be told.
    """
    return digest.of_file(PROJECT / "components" / stage / "component.py")


def lock_digest() -> str:
    """Digest of constraints.txt, the one lock."""
    return digest.of_file(PROJECT / "constraints.txt")


def code_tags() -> dict[str, str]:
    """An image tag for each stage that changes with its code or the lock: what a laptop run compiles with."""
    lock = lock_digest()
    return {stage: digest.of_value([stage_code(stage), lock]).removeprefix("sha256:")[:16] for stage in STAGES}

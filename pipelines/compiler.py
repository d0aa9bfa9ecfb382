"""From the DAGs in this folder to KFP IR, with the image of each stage named for real."""

import importlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.contract import atomic, digest
from components.contract.errors import LooplineError
from components.contract.usecase import UseCase

# By the name people type; the KFP name has dashes.
PIPELINES = ("training", "validation", "batch_inference", "sharded_batch", "materialisation", "retrain", "release")
STAGES = ("data", "features", "training", "validation", "registry", "inference", "deployment")
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


def ir_of(pipeline: Any) -> dict[str, Any]:
    """The KFP IR of a pipeline object, with the bare image names of its components: ``loopline-<stage>``."""
    from google.protobuf import json_format

    return dict(json_format.MessageToDict(pipeline.pipeline_spec))


def compile_to(pipeline: Any, path: Path, tags: dict[str, str], registry: str = "") -> dict[str, Any]:
    """Compile a pipeline to KFP IR at ``path`` and return that IR.

    Args:
        pipeline: the KFP pipeline object.
        path: the YAML file to write.
        tags: image tag by stage; components name their image ``loopline-<stage>`` and get ``:<tag>`` here.
        registry: prefix of the image names, for example ``ghcr.io/acme/``.
    """
    ir = with_images(ir_of(pipeline), tags, registry)
    atomic.write_text(path, as_yaml(ir))
    return ir


def with_images(ir: dict[str, Any], tags: Mapping[str, str], registry: str = "") -> dict[str, Any]:
    """An IR with the bare names of its images completed, in place.

    Args:
        ir: the IR.
        tags: image tag by stage.
        registry: prefix of the image names.
    """
    for executor in ir["deploymentSpec"]["executors"].values():
        image = executor["container"]["image"]
        executor["container"]["image"] = f"{registry}{image}:{tags[image.removeprefix('loopline-')]}"
    return ir


def stage_of(image: str) -> str:
    """The stage whose code an image holds, from its name in whatever registry; empty if it is none of ours."""
    match = re.fullmatch(r"(?:.*/)?loopline-([a-z]+)(?:-cuda)?(?:[:@].*)?", image)
    return match[1] if match and match[1] in STAGES else ""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such. One of our own: libraries change the one that they share."""


def _as_block(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def as_yaml(*documents: Any) -> str:
    """Values as YAML documents, the same bytes for the same values."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=120, allow_unicode=True)


def project_version() -> str:
    """The version in pyproject.toml: the tag of images in committed manifests."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


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


def code_tags(case: UseCase | None = None) -> dict[str, str]:
    """The tag of each stage's image that holds exactly this code: what a laptop run compiles with.

    It changes with anything that goes into the image: its stage, the contract, the use cases, Dockerfiles, the lock.

    Args:
        case: a use case; if the project does not hold it, it is counted as well.
    """
    from pipelines.images import catalogue

    outside = catalogue.outside(case) if case else None
    return {stage: catalogue.tag(catalogue.IMAGES[stage], outside) for stage in STAGES}

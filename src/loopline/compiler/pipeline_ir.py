"""Compiles the DAGs to KFP IR with the full name of each image."""

import importlib
from collections.abc import Mapping
from typing import Any

import yaml

from loopline import pipelines
from loopline.components.errors import LooplineError

PIPELINES = pipelines.PIPELINES


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
    """The KFP pipeline object of that name.

    Raises:
        LooplineError: there is no such pipeline, or its module holds none of its name.
    """
    module = known_pipeline(name)
    pipeline = getattr(importlib.import_module(f"loopline.pipelines.{module}"), module, None)
    if pipeline is None or pipeline.name != module.replace("_", "-"):
        raise LooplineError(
            f"pipelines/{module}.py has no pipeline of its name, a function {module} under @dsl.pipeline("
            f"name='{module.replace('_', '-')}'); what is not a DAG goes to pipelines/nested"
        )
    return pipeline


def ir_of(pipeline: Any) -> dict[str, Any]:
    """The KFP IR of a pipeline object, with the bare image names of its components: ``loopline-<stage>``."""
    from google.protobuf import json_format

    return dict(json_format.MessageToDict(pipeline.pipeline_spec))


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


def with_defaults(ir: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """An IR whose parameters have defaults, in place: a run need not give them.

    Args:
        ir: the IR.
        values: default by parameter; one that the pipeline does not have is left out.
    """
    parameters = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if name in parameters:
            parameters[name] |= {"defaultValue": value, "isOptional": True}
    return ir


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such. One of our own: libraries change the one that they share."""


def _as_block(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def as_yaml(*documents: Any) -> str:
    """Values as YAML documents, the same bytes for the same values."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=120, allow_unicode=True)

"""Each component has a declaration, each declared name exists, and only declared steps compile."""

import importlib
import inspect

import pytest
from kfp import dsl

from loopline.compiler import pipeline_ir, steps
from loopline.components.contract.step import StepFacts
from loopline.components.errors import LooplineError
from loopline.images import catalogue
from loopline.local import graph


def components(stage):
    module = importlib.import_module(f"loopline.components.{stage}.component")
    return {c.python_func.__name__: c for c in vars(module).values() if hasattr(c, "python_func")}


@pytest.mark.parametrize("stage", catalogue.STAGES)
def test_every_component_has_its_declaration(stage):
    assert components(stage)
    assert set(components(stage)) <= set(steps.declared(stage))


@pytest.mark.parametrize("stage", catalogue.STAGES)
def test_every_declared_name_is_in_the_signature(stage):
    for name, component in components(stage).items():
        facts, signature = steps.facts(stage, name), set(inspect.signature(component.python_func).parameters)
        assert {*facts.locations, *facts.shows, *([facts.reason] if facts.reason else [])} <= signature
        assert bool(facts.refusals) == bool(facts.reason)


@dsl.component(base_image="loopline-data", install_kfp_package=False)
def undeclared(registry: str, made: dsl.Output[dsl.Artifact]) -> None:
    """Stand above no declaration."""


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"effects": "none", "locations": ("registy",)}, "declares registy, but has no such parameter or output"),
        ({"effects": "none", "shows": {"card": "card"}}, "declares card, but"),
        ({"effects": "none", "reason": "verdict"}, "declares verdict, but"),
        ({"effects": "locations"}, "names no location"),
    ],
)
def test_a_wrong_declaration_is_refused(facts, sentence):
    with pytest.raises(ValueError, match=sentence):
        StepFacts(**facts)(undeclared)


def test_a_step_without_a_declaration_is_named():
    with pytest.raises(LooplineError, match=r"step undeclared of stage data .* declare it with @StepFacts"):
        steps.facts("data", "undeclared")


@pytest.mark.parametrize("pipeline", pipeline_ir.PIPELINES)
def test_a_compiled_pipeline_says_which_function_each_step_runs(pipeline):
    found = graph.steps_of(pipeline_ir.ir_of(pipeline_ir.load(pipeline)))
    assert found
    assert all(steps.facts(step.stage, step.component) for step in found)
    if pipeline == "training":
        assert {step.task: step.component for step in found}["ingest-2"] == "ingest"


@pytest.mark.parametrize(
    ("pipeline", "locations"),
    [
        ("training", {"registry", "tracking"}),
        ("validation", {"registry"}),
        ("batch_inference", {"registry", "destination"}),
        ("materialisation", {"store"}),
        ("release", {"registry"}),
    ],
)
def test_the_parameters_of_a_pipeline_that_reach_a_location(pipeline, locations):
    assert graph.location_parameters(pipeline_ir.ir_of(pipeline_ir.load(pipeline))) == locations

"""The declarations of steps, found by what a compiled pipeline says of them."""

import importlib
from collections.abc import Mapping
from typing import Any

from loopline.components.contract import step
from loopline.components.contract.step import StepFacts
from loopline.components.errors import LooplineError
from loopline.images import catalogue


def declared(stage: str) -> Mapping[str, StepFacts]:
    """The facts of a stage's steps, by the name of their function in components/<stage>/component.py."""
    if stage in catalogue.STAGES:
        importlib.import_module(f"loopline.components.{stage}.component")
    return step.declared(catalogue.PREFIX + stage)


def facts(stage: str, function: str) -> StepFacts:
    """The facts of one step.

    Args:
        stage: whose image it runs in.
        function: name of the component's function.

    Raises:
        LooplineError: they are not declared.
    """
    found = declared(stage).get(function)
    if found is None:
        raise LooplineError(
            f"nothing says what the step {function} of stage {stage} does besides its outputs: declare it with "
            f"@StepFacts(...) above its @dsl.component, usually in components/{stage}/component.py"
        )
    return found


def of_executor(executor: Mapping[str, Any]) -> tuple[str, str]:
    """The stage and the function that an executor of a compiled pipeline runs."""
    container = executor["container"]
    command = container["args"]
    return catalogue.stage_of(container["image"]), command[command.index("--function_to_execute") + 1]

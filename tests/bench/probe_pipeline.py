"""A pipeline of steps that do nothing, to see what a step costs beyond its work."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def nothing(usecase: str, turn: str, given: dsl.Input[dsl.Artifact], made: dsl.Output[dsl.Artifact]) -> None:
    """Hand on a file."""
    from pathlib import Path

    Path(made.path).write_text(turn + Path(given.path).read_text())


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def begin(usecase: str, turn: str, made: dsl.Output[dsl.Artifact]) -> None:
    """Make a file."""
    from pathlib import Path

    Path(made.path).write_text(turn)


@dsl.pipeline(name="probe")
def probe(usecase: str, turn: str) -> None:
    """Six steps in a row."""
    last = begin(usecase=usecase, turn=turn)
    for _ in range(5):
        last = nothing(usecase=usecase, turn=turn, given=last.outputs["made"])

"""A pipeline whose loop has a branch that can fail, to see that kfp.local does not pass over it."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def name_items(usecase: str, items: str) -> list[str]:
    """The items, which are written with commas."""
    return items.split(",")


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def branch(usecase: str, item: str, made: dsl.Output[dsl.Artifact]) -> None:
    """Write the item down; fail if it is called bad."""
    from pathlib import Path

    from loopline.components.errors import LooplineError

    if item == "bad":
        raise LooplineError("this item is bad")
    Path(made.path).write_text(item)


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def gather(usecase: str, parts: dsl.Input[list[dsl.Artifact]], made: dsl.Output[dsl.Artifact]) -> None:
    """All that was written, in order."""
    from pathlib import Path

    Path(made.path).write_text(" ".join(Path(part.path).read_text() for part in parts))


@dsl.pipeline(name="looping")
def looping(usecase: str, items: str) -> None:
    """A step for each item, and one for all."""
    with dsl.ParallelFor(name_items(usecase=usecase, items=items).output) as item:
        one = branch(usecase=usecase, item=item)
    gather(usecase=usecase, parts=dsl.Collected(one.outputs["made"]))

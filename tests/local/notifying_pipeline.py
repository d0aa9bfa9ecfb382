"""A pipeline whose last step changes something outside, to see that it is never served from the cache."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def write_note(usecase: str, made: dsl.Output[dsl.Artifact]) -> None:
    """Write a note."""
    from pathlib import Path

    Path(made.path).write_text("note")


@StepFacts(effects="outside", refusals=("unwanted",), reason="said")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def notify(webhook: str, note: dsl.Input[dsl.Artifact], said: dsl.Output[dsl.Markdown]) -> str:
    """Stand for a call of a webhook: append the note to a file."""
    from pathlib import Path

    with Path(webhook).open("a") as file:
        file.write(Path(note.path).read_text())
    Path(said.path).write_text("# Webhook\n\nNobody listens.\n")
    return "unwanted"


@dsl.pipeline(name="notifying")
def notifying(usecase: str, webhook: str) -> None:
    """Write a note and send it."""
    notify(webhook=webhook, note=write_note(usecase=usecase).outputs["made"])

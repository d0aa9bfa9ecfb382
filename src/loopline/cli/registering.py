"""``loopline models`` and ``rollback``."""

from dataclasses import asdict

from rich.console import Console

from loopline.components.contract import usecase
from loopline.components.contract.window import iso
from loopline.components.registry.models import history, models
from loopline.components.registry.rollback import rollback
from loopline.local.workspace import Workspace, person
from loopline.report.tables import history_table, models_table


def list_models(package: str, console: Console) -> None:
    """Print the versions of a use case's model."""
    spec = usecase.load(package).spec
    found = models(spec.name, Workspace.find().registry)
    if not found:
        console.print(f"no model of {spec.name} is registered yet; `loopline run training` makes one", highlight=False)
        return
    console.print(models_table([{**asdict(version), "created": iso(version.created)} for version in found], spec))


def list_history(package: str, console: Console) -> None:
    """Print every promotion and rollback of a use case's model, also those that were refused."""
    spec = usecase.load(package).spec
    entries = history(spec.name, Workspace.find().registry)
    if not entries:
        console.print(f"{spec.name} has had no champion yet; `loopline run validation` makes one", highlight=False)
        return
    console.print(history_table(entries))


def roll_back(package: str, console: Console) -> None:
    """Make the previous champion champion again, and say what that leaves to do.

    Raises:
        LooplineError: there is no previous champion.
    """
    spec = usecase.load(package).spec
    state = rollback(spec.name, Workspace.find().registry, reason="rolled back by hand", by=person())
    console.print(
        f"version {state.champion} of {spec.name} is champion again, in place of version {state.previous}. "
        "An endpoint that is running keeps serving what it serves until you release the champion to it with "
        "`loopline release champion`.",
        highlight=False,
        soft_wrap=True,
    )

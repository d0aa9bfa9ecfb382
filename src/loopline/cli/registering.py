"""``loopline models`` and ``rollback``."""

from dataclasses import asdict

from rich.console import Console

from loopline.components.contract import usecase
from loopline.components.contract.window import iso
from loopline.components.registry.models import models
from loopline.components.registry.rollback import rollback
from loopline.local.workspace import Workspace
from loopline.report.tables import models_table


def list_models(package: str, console: Console) -> None:
    """Print the versions of a use case's model, newest first."""
    spec = usecase.load(package).spec
    found = models(spec.name, Workspace.find().registry)
    if not found:
        console.print(f"no model of {spec.name} is registered yet; `loopline run training` makes one", highlight=False)
        return
    console.print(models_table([{**asdict(version), "created": iso(version.created)} for version in found], spec))


def roll_back(package: str, console: Console) -> None:
    """Make the previous champion champion again.

    Raises:
        LooplineError: there is no previous champion.
    """
    spec = usecase.load(package).spec
    console.print(rollback(spec.name, Workspace.find().registry), highlight=False)

"""Who became champion, when, why and by which run: the promotion log as ``loopline models --history`` shows it."""

import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from loopline.cli import registering
from loopline.components.contract.evaluation import Comparison
from loopline.components.errors import LooplineError
from loopline.components.registry import component
from loopline.components.registry.models import history, models
from loopline.components.registry.promote import promote
from loopline.components.registry.rollback import rollback
from loopline.report.tables import history_table
from tests.unit.registry.conftest import NAME, USECASE


@pytest.fixture
def comparison(three, tmp_path):
    """Writes a comparison of two models of ``three``."""

    def write(challenger: int, *, better: bool = True) -> str:
        path = tmp_path / "comparison.json"
        outcome = Comparison(
            champion=three.model(1).digest,
            challenger=three.model(challenger).digest,
            metric="auc",
            rows=10,
            champion_value=0.7,
            challenger_value=0.8,
            gain=0.1,
            low=0.05,
            high=0.15,
            confidence=0.95,
            resamples=10,
            better=better,
            reason="challenger's auc 0.8 against champion's 0.7",
        )
        path.write_text(outcome.model_dump_json())
        return str(path)

    return write


def artifact(path) -> SimpleNamespace:
    return SimpleNamespace(path=str(path), metadata={})


def shown(entries) -> str:
    console = Console(width=300, record=True)
    console.print(history_table(entries))
    return console.export_text()


def test_the_step_records_its_reasons_and_its_run(three, comparison, monkeypatch):
    monkeypatch.setenv("LOOPLINE_RUN", "retrain-7")
    receipt = artifact(three.receipt(3))
    arguments = (USECASE, three.registry, "3", "1", artifact(three.verdict(3)), receipt)
    assert component.promote.python_func(*arguments, artifact(comparison(3))) == "promoted"
    change = history(NAME, three.registry)[-1].change
    assert (change.by, change.expected) == ("retrain-7", 1)
    assert change.reason == "auc 0.6 is below 0.7; challenger's auc 0.8 against champion's 0.7"
    assert receipt.metadata["reason"] == "version 3 took the place of version 1"


def test_the_step_says_why_a_champion_was_kept(three):
    three.promote(2, 1)
    receipt = artifact(three.receipt(3))
    arguments = (USECASE, three.registry, "3", "1", artifact(three.verdict(3)), receipt)
    assert component.promote.python_func(*arguments) == "kept"
    assert receipt.metadata["outcome"] == "kept"
    assert "but version 2 was champion" in receipt.metadata["reason"]


def test_a_comparison_that_was_lost_or_is_of_another_model_is_refused(three, comparison):
    def attempt(path: str) -> None:
        promote(USECASE, three.registry, "3", "1", three.verdict(3), three.receipt(3), comparison_path=path)

    with pytest.raises(LooplineError, match="version 3 of flights cannot become champion: challenger's auc"):
        attempt(comparison(3, better=False))
    with pytest.raises(LooplineError, match="about another challenger than version 3 of flights"):
        attempt(comparison(2))
    assert len(history(NAME, three.registry)) == 1


def test_history_shows_what_was_refused_and_why(three):
    three.promote(2, 1)
    three.promote(3, 1)
    rollback(NAME, three.registry, reason="rolled back by hand", by="me@here")
    lines = [line.split() for line in shown(history(NAME, three.registry)).splitlines()[2:]]
    assert [line[3:4] + [word for word in ("promoted", "refused", "rolled") if word in line] for line in lines] == [
        ["v1", "promoted"],
        ["v1", "promoted"],
        ["v2", "refused"],
        ["v2", "rolled"],
    ]
    assert "v1 → v2" in " ".join(lines[1])
    assert "against version 1, but version 2 was champion" in " ".join(lines[2])
    assert " ".join(lines[3]).endswith("rolled back by hand me@here")


def test_an_entry_without_a_reason_says_what_it_did(three):
    three.promote(2, 1)
    rollback(NAME, three.registry)
    assert "version 1 took the place of version 2" in shown(history(NAME, three.registry))


def test_listing_changes_nothing(three):
    from loopline.components.registry import aliases
    from loopline.components.registry.client import opened

    with opened(three.registry) as client:
        client.set_registered_model_alias(NAME, "champion", "3")
    assert {version.version for version in models(NAME, three.registry) if "champion" in version.aliases} == {1}
    history(NAME, three.registry)
    with opened(three.registry) as client:
        assert aliases.read_mlflow(client, NAME)["champion"] == 3
        aliases.reconcile(client, NAME)
        assert aliases.read_mlflow(client, NAME)["champion"] == 1


def test_the_commands(three, tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path / "home"))
    console = Console(width=300, record=True)
    registering.list_history(USECASE, console)
    assert "flights has had no champion yet" in console.export_text()

    three.promote(2, 1)
    monkeypatch.setattr(registering.Workspace, "registry", three.registry)
    registering.roll_back(USECASE, console)
    assert "version 1 of flights is champion again, in place of version 2. An endpoint that" in console.export_text()
    registering.list_history(USECASE, console)
    assert "rolled back by hand" in console.export_text()
    assert json.loads(three.receipt(2).read_text())["outcome"] == "promoted"

"""``loopline serve --version N``: a version that never passed its gates is served, with a warning."""

import pytest
from rich.console import Console

from loopline.cli import serving
from loopline.components.registry import models


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Calls the command without starting anything; returns what it prints and which version it would serve."""
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path))
    monkeypatch.setattr(models, "passed_gates", lambda name, registry, version: (name, version) == ("flights", 1))
    prepared = []
    monkeypatch.setattr(serving.Endpoint, "prepare", lambda _, version: prepared.append(version))
    monkeypatch.setattr(serving.Supervisor, "run", lambda *_: None)

    def call(version):
        console = Console(record=True, width=60)
        serving.serve("loopline.usecases.flights", version, 0, console, use_triton=False)
        return console.export_text().splitlines(), prepared

    return call


def test_a_version_that_never_passed_its_gates_is_one_line_of_warning(serve):
    lines, prepared = serve("2")
    assert [line for line in lines if "warning" in line] == [
        "warning: version 2 of flights has not passed its gates, or was never validated; use it for tests only"
    ]
    assert prepared == [2]


def test_one_that_passed_is_served_without(serve):
    lines, prepared = serve("1")
    assert not [line for line in lines if "warning" in line]
    assert prepared == [1]

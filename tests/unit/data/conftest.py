"""Fixtures of the data stage's tests."""

from pathlib import Path

import pytest
from data_shop import Shop, make_shop
from hypothesis import settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.syspath_prepend(tmp_path)
    return make_shop(tmp_path)

"""Fixtures of the data stage's tests."""

from pathlib import Path

import pytest
from data_shop import Shop, make_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.syspath_prepend(tmp_path)
    return make_shop(tmp_path)

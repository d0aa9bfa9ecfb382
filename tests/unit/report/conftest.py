from collections.abc import Callable
from pathlib import Path

import pytest
from fabricated_loop import Fabric, FabricatedLoop


@pytest.fixture
def make_loop(tmp_path: Path) -> Callable[..., FabricatedLoop]:
    """Makes loops: by task, with a challenger that is better or not, with a text from data that appears everywhere."""

    def make(task: str = "binary_classification", *, better: bool = True, text: str = "AA") -> FabricatedLoop:
        return Fabric(tmp_path / "artifacts", task, text).loop(better)

    return make

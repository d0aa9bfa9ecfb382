"""Each overlay is rendered once, from tracked files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import render, schemas

Objects = list[dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say why."""
    here = Path(__file__).parent
    missing = None
    if render.kubectl() is None:
        missing = "there is no kubectl; `make setup` installs one from PyPI"
    elif not (render.PROJECT / ".git").exists():
        missing = "this is no Git checkout, so nobody knows which files a clone would have"
    for item in items:
        if missing and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests as a fresh clone has them."""
    return render.clean_copy(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def overlay(clean: Path) -> Callable[[str], Objects]:
    """The objects of an overlay by its name."""
    rendered: dict[str, Objects] = {}

    def of(name: str) -> Objects:
        if name not in rendered:
            rendered[name] = render.render(clean / "kustomize/overlays" / name)
        return rendered[name]

    return of


@pytest.fixture(scope="session")
def crd_schemas() -> Path:
    """The folder of schemas of custom resources."""
    folder = schemas.folder()
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; `make schemas` makes it, or set LOOPLINE_SCHEMAS")
    return folder

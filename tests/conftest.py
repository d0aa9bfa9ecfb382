"""Options of the whole test suite."""

import pytest

pytest_plugins = ["tests.object_store"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the golden files instead of comparing them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers (`make test` has two), what shares an expensive fixture runs in one of them."""
    for item in items:
        shared = "looped" if "looped" in getattr(item, "fixturenames", ()) else item.path.name
        item.add_marker(pytest.mark.xdist_group(shared))

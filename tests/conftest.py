"""Options of the whole test suite."""

import pytest

pytest_plugins = ["tests.object_store"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the golden files instead of comparing them")

"""Fixtures over what serving_case.py and service_process.py describe."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_process import Process, predictor, transformer
from serving_case import Served, write_model, write_package, write_store


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The use case, its materialised store and its packaged model."""
    folder = tmp_path_factory.mktemp("trams")
    sys.path.insert(0, str(folder))
    package = write_package(folder, f"trams_{uuid.uuid4().hex[:8]}")
    yield Served(package, folder, write_store(package, folder), write_model(folder))
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def onnx_predictor(served: Served) -> Iterator[Process]:
    """KServe's server with the model."""
    with predictor(served) as process:
        yield process


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture(scope="session")
def service(served: Served, onnx_predictor: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The transformer in front of it, for tests that leave it as it is."""
    with transformer(served, onnx_predictor.port, tmp_path_factory.mktemp("log")) as process:
        yield process

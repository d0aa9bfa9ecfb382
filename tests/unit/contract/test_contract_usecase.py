"""Loading a use case: its modules only when asked for, and one sentence for what is missing."""

import sys
from pathlib import Path

import pytest

from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A use case with a valid usecase.yaml and nothing else, importable under a name of its own."""
    name = f"usecase_{abs(hash(request.node.name))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "usecase.yaml").write_text((load("loopline.usecases.flights").folder / "usecase.yaml").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_flights_loads_without_importing_its_modules() -> None:
    loaded = set(sys.modules)
    case = load("loopline.usecases.flights")
    assert (case.package, case.folder.name, case.spec.name) == ("loopline.usecases.flights", "flights", "flights")
    assert not {"loopline.usecases.flights.source", "loopline.usecases.flights.features"} & (set(sys.modules) - loaded)


@pytest.mark.parametrize(
    "package",
    [
        "",
        "flihgts",
        "usecases.flihgts",
        "no.such.thing",
        "./usecases/flights",
        "usecases/flights",
        "..",
        "loopline.usecases.flights.source",
    ],
)
def test_there_is_no_such_use_case(package: str) -> None:
    with pytest.raises(LooplineError, match=r"there is no use case '.*give it as package\.module"):
        load(package)


def test_a_package_that_is_no_use_case() -> None:
    with pytest.raises(
        LooplineError, match=r"usecases is not a use case: .*usecase\.yaml does not exist; `loopline new"
    ):
        load("usecases")


def test_a_use_case_without_a_source(package: str) -> None:
    with pytest.raises(LooplineError, match=rf"use case {package} has no source\.py in "):
        _ = load(package).source


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import warehouse_client", "needs the Python package warehouse_client, which is not installed"),
        ("def tables(", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_source_that_cannot_be_imported(package: str, code: str, says: str) -> None:
    case = load(package)
    (case.folder / "source.py").write_text(code)
    with pytest.raises(LooplineError) as error:
        _ = case.source
    assert says in str(error.value)


def test_the_fingerprint_is_the_sources_own_if_it_has_one(package: str) -> None:
    (load(package).folder / "source.py").write_text("")
    assert load(package).source_fingerprint() is None
    del sys.modules[f"{package}.source"]
    (load(package).folder / "source.py").write_text("def fingerprint():\n    return 42\n")
    assert load(package).source_fingerprint() == "42"


def test_the_code_digest_follows_every_file_but_not_bytecode(package: str) -> None:
    case = load(package)
    first = case.code_digest()
    (case.folder / "__pycache__").mkdir(exist_ok=True)
    (case.folder / "__pycache__" / "source.pyc").write_bytes(b"x")
    assert case.code_digest() == first
    (case.folder / "queries.sql").write_text("select 1")
    assert case.code_digest() != first

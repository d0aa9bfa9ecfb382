"""Fixtures over what feature_cases.py describes."""

import uuid
from pathlib import Path

import pytest
from feature_cases import END, FEATURES, FLIGHTS, SPEC, START, Flights, Make, Parcels, write_data

from loopline.components.contract import usecase


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    from loopline.components.features.build import build_features

    folder = tmp_path_factory.mktemp("flights")
    case = usecase.load(FLIGHTS)
    window = case.spec.window(START, END)
    reach = window.extended(case.spec.features.lookback)
    tables = case.source.tables(reach.start, reach.end)
    data = write_data(folder / "data", tables, window.start, window.end)
    return Flights(tables, data, build_features(FLIGHTS, data, folder / "history"))


@pytest.fixture
def parcels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a use case; replace pieces of its two files, each of which must be there."""

    def make(spec: dict[str, str] | None = None, features: dict[str, str] | None = None) -> Parcels:
        name = f"parcels_{uuid.uuid4().hex[:8]}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").touch()
        for file, text, changes in (("usecase.yaml", SPEC, spec), ("features.py", FEATURES, features)):
            for old, new in (changes or {}).items():
                assert old in text, f"{file} has no {old!r}"
                text = text.replace(old, new)  # noqa: PLW2901
            (folder / file).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        made = Parcels(name, folder)
        made.write(
            [("o1", "a", 1.0, 10, 30, 20.0), ("o2", "b", 2.0, 20, 90, 70.0), ("o3", None, 3.0, 30, None, None)],
            [("a", 0, 5), ("a", 15, 6), ("b", 10, 7)],
        )
        return made

    return make

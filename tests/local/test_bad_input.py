"""A pipeline that meets bad input stops with one sentence, and registers nothing."""

import shutil
import sys

import pytest
import yaml

from loopline.components.contract import usecase
from tests.local.conftest import USECASE


@pytest.fixture
def broken(fresh, tmp_path, monkeypatch):
    """Run training on a changed copy of the small use case; give what the command said."""

    def run(change_spec=None, source=None):
        folder = tmp_path / "broken_case"
        shutil.copytree(usecase.load(USECASE).folder, folder)
        spec = yaml.safe_load((folder / "usecase.yaml").read_text())
        if change_spec:
            change_spec(spec)
        (folder / "usecase.yaml").write_text(yaml.safe_dump(spec))
        if source:
            file = folder / "source.py"
            file.write_text(file.read_text() + source)
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "broken_case"]:
            monkeypatch.delitem(sys.modules, name)
        error = fresh.loopline("run", "training", "--usecase", "broken_case", expect=1)
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, error
        assert "Traceback" not in error
        assert not (fresh.workspace / "registry" / "mlflow.db").exists()
        return lines[0]

    return run


CHANGED = """

_tables = tables

def tables(start, end):
    readings = _tables(start, end)["readings"]
    {change}
    return {{"readings": readings}}
"""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("raise FileNotFoundError('weather.csv is not there')", "weather.csv is not there"),
        ("readings['surprise'] = 1", "surprise"),
        ("readings['temp'] = 'warm'", "temp"),
        ("readings = readings.iloc[:0]", "no row"),
        ("readings['temp'] = 1000.0", "temp"),
        ("readings['read_at'] = readings['read_at'] + pd.Timedelta(hours=12)", "in the future"),
    ],
)
def test_bad_data(change, sentence, broken):
    assert sentence in broken(source=CHANGED.format(change=change))


def test_all_null_feature(broken):
    error = broken(source=CHANGED.format(change="readings['dewp'] = None"))
    assert "last_dewp" in error


def test_typo_in_the_spec(broken):
    def misspell(spec):
        spec["entity"]["timestmap"] = spec["entity"].pop("timestamp")

    assert "did you mean 'timestamp'" in broken(misspell)

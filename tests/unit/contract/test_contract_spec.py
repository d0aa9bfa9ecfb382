"""usecase.yaml: what is in it is meant, and what is wrong with it is said with the path and, for a typo, the key."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import load, read_spec
from loopline.components.errors import LooplineError

Raw = dict[str, Any]


@pytest.fixture
def raw() -> Raw:
    flights = Path(load("loopline.usecases.flights").folder) / "usecase.yaml"
    document: Raw = yaml.safe_load(flights.read_text())
    return document


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Raw], UseCaseSpec]:
    def through_a_file(document: Raw) -> UseCaseSpec:
        path = tmp_path / "usecase.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return read_spec(path)

    return through_a_file


def put(document: Raw, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    section: Any = document
    for name in sections:
        section = section[int(name)] if isinstance(section, list) else section[name]
    section[int(last) if isinstance(section, list) else last] = value


def test_flights_reads(raw: Raw, read: Callable[[Raw], UseCaseSpec]) -> None:
    spec = read(raw)
    assert spec.entity.lead == timedelta(hours=1)
    assert spec.tables["flights"].columns["origin"].allowed == ("EWR", "JFK", "LGA")
    assert str(spec.window(*spec.replay.validate_on)) == "2013-05-01T04:00:00 to 2013-06-01T04:00:00"


def test_a_spec_is_frozen(raw: Raw, read: Callable[[Raw], UseCaseSpec]) -> None:
    with pytest.raises(ValidationError):
        read(raw).name = "other"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        # unknown keys, at every depth: the path and the likely key
        ("lable", {}, "lable: unknown key; did you mean 'label'?"),
        ("entity.led", "1h", "entity.led: unknown key; did you mean 'lead'?"),
        ("tables.flights.frshness", "1d", "tables.flights.frshness: unknown key; did you mean 'freshness'?"),
        ("tables.flights.columns.hour.mni", 1, "tables.flights.columns.hour.mni: unknown key; did you mean 'min'?"),
        ("validation.scenarios.0.mising", [], "validation.scenarios.0.mising: unknown key; did you mean 'missing'?"),
        ("replay.validat", [], "replay.validat: unknown key; did you mean 'validate'?"),
        ("schedule.retrian", {}, "schedule.retrian: unknown key; did you mean 'retrain'?"),
        ("schedule.retrain.deadlin", "1h", "schedule.retrain.deadlin: unknown key; did you mean 'deadline'?"),
        ("schedule.retrain.cron", "0 5 30 2 *", "schedule.retrain.cron: '0 5 30 2 *' would never fire"),
        ("features.zzz", 1, "features.zzz: unknown key; known keys: request, stored, lookback"),
        # values
        ("name", "My Flights", "name: String should match pattern"),
        ("task", "ranking", "task: Input should be 'binary_classification' or 'regression'"),
        ("timezone", "Mars/Olympus", "timezone: 'Mars/Olympus' is not a timezone; write for example UTC"),
        ("entity.lead", "soon", "entity.lead: 'soon' is not a duration; write for example 45m"),
        ("entity.lead", "99999999999w", "entity.lead: '99999999999w' is too long"),
        ("entity.keys", [], "entity.keys: Tuple should have at least 1 item"),
        ("tables.flights.columns.hour.type", "int", "tables.flights.columns.hour.type: Input should be 'string'"),
        (
            "tables.flights.bad_rows_allowed",
            5,
            "tables.flights.bad_rows_allowed: Input should be less than or equal to 1",
        ),
        (
            "tables.flights.volume.rows_per_day",
            [9, 1],
            "rows_per_day is [least, most], and its least is above its most",
        ),
        ("tables.flights.columns.hour.min", 24, "tables.flights.columns.hour: min 24 is above max 23"),
        ("tables.flights.columns.dest.max", 3, "min and max are for integer and float columns, and this one is string"),
        # parts that do not fit each other
        ("entity.table", "fligths", "entity.table 'fligths' is not among tables: flights, weather, planes"),
        ("entity.keys", ["carier"], "entity.keys: 'carier' is not a column of table flights"),
        ("label.column", "tardy", "label.column: 'tardy' is not a column of table flights"),
        ("features.request", ["carrier", "late"], "features.request: 'late' is the label; a model must not see it"),
        ("features.request", ["arrived_at"], "features.request: 'arrived_at' is known only with the label"),
        ("features", {"lookback": "1d"}, "name at least one feature under request or stored"),
        ("validation.slices", ["origin", "carrier", "runway"], "validation.slices: 'runway' is not a column"),
        ("validation.slices", ["carrier"], "gate on auc: 'origin' is not among slices: carrier"),
        ("validation.scenarios", [], "gate on auc: 'missing_weather' is not among scenarios"),
        ("validation.gates.0", {"metric": "auc"}, "gate on auc has neither min nor max"),
        (
            "validation.gates.0",
            {"metric": "auc", "min": 0, "slice": "origin", "scenario": "missing_weather"},
            "gate on auc names both a slice and a scenario",
        ),
        ("validation.gates", [], "validation.gates: Tuple should have at least 1 item"),
        ("tables.planes.key", ["tail"], "tables.planes: 'tail' is not among its columns"),
        ("tables.planes.freshness", "1d", "tables.planes: freshness and volume need a timestamp column"),
        ("tables.weather.timestamp", "origin", "'origin' is its timestamp but has type string"),
        ("tables.planes.columns.reason", {"type": "string"}, "'reason' is the column that quarantine adds"),
        ("label.known_at", "hour", "'hour' must have type timestamp"),
        ("tables.flights.timestamp", "departed_at", "timestamp must be entity.timestamp 'sched_dep'"),
        (
            "replay.train",
            ["2013-05-01", "2013-01-01"],
            "replay.train: the window from 2013-05-01 to 2013-01-01 is empty",
        ),
        ("replay.validate", ["2013-05-01", "May"], "replay.validate: 'May' is not a date or time"),
    ],
)
def test_what_is_wrong_is_said(raw: Raw, read: Callable[[Raw], UseCaseSpec], key: str, value: Any, says: str) -> None:
    put(raw, key, value)
    with pytest.raises(LooplineError) as error:
        read(raw)
    assert says in str(error.value)
    assert "usecase.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["name", "task", "entity", "label", "tables", "features", "validation", "replay"])
def test_a_missing_section_is_named(raw: Raw, read: Callable[[Raw], UseCaseSpec], key: str) -> None:
    del raw[key]
    with pytest.raises(LooplineError, match=f"{key}: missing"):
        read(raw)


def test_numbers_may_be_allowed_without_quotes(raw: Raw, read: Callable[[Raw], UseCaseSpec]) -> None:
    put(raw, "tables.flights.columns.late.allowed", [0, 1])
    assert read(raw).tables["flights"].columns["late"].allowed == ("0", "1")


def test_a_replay_may_be_given_in_dates_times_and_texts(raw: Raw, read: Callable[[Raw], UseCaseSpec]) -> None:
    put(raw, "replay.train", [date(2013, 1, 1), datetime(2013, 1, 2, 6, 30)])  # noqa: DTZ001 - as YAML gives it
    spec = read(raw)
    assert str(spec.window(*spec.replay.train)) == "2013-01-01T05:00:00 to 2013-01-02T11:30:00"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: flights\n  task: [1\n", "line 2 is not valid YAML"),
        (b"", "is empty; it needs the sections name, description"),
        (b"- name\n", "is empty; it needs the sections"),
        (b"name: \xff\xfe", "is not UTF-8 text: invalid start byte at byte 6"),
        (b"name: \x00", "is not valid YAML: unacceptable character"),
    ],
)
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "usecase.yaml"
    path.write_bytes(content)
    with pytest.raises(LooplineError) as error:
        read_spec(path)
    assert says in str(error.value)

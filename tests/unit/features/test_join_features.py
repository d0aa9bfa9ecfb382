"""Joining the examples of a window; above all: nothing of the future gets in."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feature_cases import END, FLIGHTS, NOON, START, TIMESTAMP, Flights, Make, write_data

from loopline.components.contract import usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import features_of
from loopline.components.errors import LooplineError
from loopline.components.features.build import build_features
from loopline.components.features.join import join_features


@pytest.fixture(scope="module")
def examples(flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("examples") / "examples"
    return join_features(FLIGHTS, START, END, flights.data, flights.history.path, path)


def test_every_flight_of_the_window_is_there_once_in_order(flights: Flights, examples: Dataset) -> None:
    spec = usecase.load(FLIGHTS).spec
    window = spec.window(START, END)
    raw = flights.tables["flights"]
    inside = [window.start <= moment < window.end for moment in raw["sched_dep"].to_pylist()]
    table = examples.read("examples")
    assert table.select(raw.column_names).equals(raw.filter(pa.array(inside)))
    assert pc.all(pc.equal(table["feature_time"], pc.subtract(table["sched_dep"], timedelta(hours=1)))).as_py()


def test_columns_and_facts_are_as_the_contract_says(flights: Flights, examples: Dataset) -> None:
    spec = usecase.load(FLIGHTS).spec
    features = features_of(examples.facts)
    stored = [feature.name for feature in features if feature.view]
    columns = list(examples.tables["examples"]["columns"])
    assert columns == [*spec.tables["flights"].columns, "feature_time", "label", *stored]
    assert [feature.name for feature in features if not feature.view] == list(spec.features.request)
    assert list(dict.fromkeys(feature.view for feature in features if feature.view)) == list(spec.features.stored)
    assert {feature.name for feature in features if feature.kind == "category"} == {"carrier", "origin", "dest"}
    assert examples.facts["history"] == flights.history.digest
    assert examples.facts["rows"] == examples.rows("examples")
    assert set(examples.facts["feature_views"]) == set(spec.features.stored)


def test_a_label_that_was_not_known_at_the_end_of_the_window_is_none(examples: Dataset) -> None:
    end = usecase.load(FLIGHTS).spec.window(START, END).end
    table = examples.read("examples").to_pydict()
    in_the_air = 0
    for late, arrived, label in zip(table["late"], table["arrived_at"], table["label"], strict=True):
        known = arrived is not None and arrived <= end
        assert label == (float(late) if known else None)
        in_the_air += arrived is not None and not known
    assert in_the_air > 0
    assert examples.facts["labelled"] == sum(label is not None for label in table["label"])


def test_same_input_gives_the_same_bytes(flights: Flights, examples: Dataset, tmp_path: Path) -> None:
    again = join_features(FLIGHTS, START, END, flights.data, flights.history.path, tmp_path / "again")
    assert again.digest == examples.digest


def future_deleted(flights: Flights, moment: datetime) -> dict[str, pa.Table]:
    """The raw tables as they would have been at a moment: what became known later is not there."""
    table = flights.tables["flights"]
    for known_at, columns in (
        ("departed_at", ("departure_delay", "departed_at")),
        ("arrived_at", ("arrival_delay", "late", "arrived_at")),
    ):
        later = pc.fill_null(pc.greater(table[known_at], pa.scalar(moment, TIMESTAMP)), fill_value=False)
        for column in columns:
            emptied = pc.if_else(later, pa.scalar(None, table[column].type), table[column])
            table = table.set_column(table.column_names.index(column), column, emptied)
    weather = flights.tables["weather"]
    known = weather.filter(pc.less_equal(weather["observed_at"], pa.scalar(moment, TIMESTAMP)))
    return {**flights.tables, "flights": table, "weather": known}


def future_shifted(flights: Flights, moment: datetime) -> dict[str, pa.Table]:
    """The raw tables with everything that became known after a moment different, and at another time."""
    table = flights.tables["flights"]
    for known_at, value in (("departed_at", "departure_delay"), ("arrived_at", "arrival_delay")):
        later = pc.fill_null(pc.greater(table[known_at], pa.scalar(moment, TIMESTAMP)), fill_value=False)
        for column, amount in ((value, 500), (known_at, timedelta(minutes=500))):
            moved = pc.if_else(later, pc.add(table[column], amount), table[column])
            table = table.set_column(table.column_names.index(column), column, moved)
    weather = flights.tables["weather"]
    later = pc.greater(weather["observed_at"], pa.scalar(moment, TIMESTAMP))
    hotter = pc.if_else(later, pc.add(weather["temp"], 50.0), weather["temp"])
    weather = weather.set_column(weather.column_names.index("temp"), "temp", hotter)
    return {**flights.tables, "flights": table, "weather": weather}


@pytest.mark.parametrize("change", [future_deleted, future_shifted])
@pytest.mark.parametrize("day", [3, 7])
def test_changing_the_future_changes_no_feature_of_the_past(
    flights: Flights, examples: Dataset, tmp_path: Path, change: object, day: int
) -> None:
    moment = datetime(2013, 2, day, 17, 23, tzinfo=ZoneInfo("America/New_York"))
    window = usecase.load(FLIGHTS).spec.window(START, END)
    changed = write_data(tmp_path / "data", change(flights, moment), window.start, window.end)  # type: ignore[operator]
    history = build_features(FLIGHTS, changed, tmp_path / "history")
    joined = join_features(FLIGHTS, START, END, flights.data, history.path, tmp_path / "examples")

    stored = [feature.name for feature in features_of(examples.facts) if feature.view]
    before, after = examples.read("examples"), joined.read("examples")
    past = pc.less_equal(before["feature_time"], pa.scalar(moment, TIMESTAMP))
    assert before.filter(past).num_rows > 1000
    assert after.select(stored).filter(past).equals(before.select(stored).filter(past))
    future = pc.invert(past)
    assert not after.select(stored).filter(future).equals(before.select(stored).filter(future)), "the change is real"


def test_features_are_those_of_a_plain_loop(parcels: Make) -> None:
    case = parcels()
    build_features(case.package, case.data, case.history)
    joined = join_features(
        case.package, "2020-01-01T12:00", "2020-01-01T13:00", case.data, case.history, case.folder / "examples"
    )
    assert joined.read("examples").select(["order", "feature_time", "label", "visitors"]).to_pylist() == [
        {"order": "o1", "feature_time": NOON, "label": 20.0, "visitors": 5},
        {"order": "o2", "feature_time": NOON + timedelta(minutes=10), "label": None, "visitors": 7},
        {"order": "o3", "feature_time": NOON + timedelta(minutes=20), "label": None, "visitors": None},
    ]


def test_one_feature_of_a_view_text_and_booleans(parcels: Make) -> None:
    case = parcels(
        {"stored: [busy]": "stored: ['busy:open', 'busy:mood']"},
        {
            "visitors=Int64": "visitors=Int64, mood=String, open=Bool",
            "visitors from": "visitors, 'calm' as mood, true as open from",
        },
    )
    build_features(case.package, case.data, case.history)
    joined = join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")
    assert [(f.name, f.kind) for f in features_of(joined.facts)] == [
        ("weight", "number"),
        ("open", "number"),
        ("mood", "category"),
    ]
    assert joined.read("examples")["mood"].to_pylist() == ["calm", "calm", None]


def test_a_use_case_without_stored_features_needs_no_feature_views(parcels: Make) -> None:
    case = parcels({"stored: [busy], ": ""})
    (case.folder / "features.py").unlink()
    build_features(case.package, case.data, case.history)
    joined = join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")
    assert list(joined.tables["examples"]["columns"])[-2:] == ["feature_time", "label"]


def test_a_view_that_has_no_entity_is_the_same_for_all(parcels: Make) -> None:
    case = parcels(features={"visitors=Int64": "entities=(), visitors=Int64", "select shop, seen_at": "select seen_at"})
    build_features(case.package, case.data, case.history)
    joined = join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")
    assert joined.read("examples")["visitors"].to_pylist() == [5, 7, 6]


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"visitors from": "null::bigint as visitors from"}, "'visitors' of view 'busy' has no value in the whole"),
        (
            {"visitors=Int64": "visitors=UnixTimestamp", "visitors from": "seen_at as visitors from"},
            "of type UnixTimestamp",
        ),
        (
            {'join_keys=["shop"]': 'join_keys=["till"]', "select shop": "select shop as till"},
            "joined on 'till', which is not",
        ),
        (
            {'join_keys=["shop"]': 'join_keys=["weight"]', "select shop": "select shop as weight"},
            "cannot be read: Conversion",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(parcels: Make, features: dict[str, str], says: str) -> None:
    case = parcels(features=features)
    build_features(case.package, case.data, case.history)
    with pytest.raises(LooplineError, match=says):
        join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")
    assert not (case.folder / "examples").exists()


def test_a_request_feature_without_values_is_named(parcels: Make) -> None:
    case = parcels()
    case.write([("o1", "a", None, 10, 30, 20.0)], [("a", 0, 5)])
    build_features(case.package, case.data, case.history)
    with pytest.raises(LooplineError, match="'weight' of the entity table has no value in the whole window"):
        join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")


def test_a_label_of_text_is_one_sentence(parcels: Make) -> None:
    case = parcels({"label: {column: minutes": "label: {column: shop"})
    build_features(case.package, case.data, case.history)
    with pytest.raises(LooplineError, match=r"label.column 'shop' holds string; a label must be a number"):
        join_features(case.package, "2020-01-01", "2020-01-02", case.data, case.history, case.folder / "examples")


def test_an_empty_window_is_one_sentence(parcels: Make) -> None:
    case = parcels()
    build_features(case.package, case.data, case.history)
    with pytest.raises(LooplineError, match="orders has no rows in the window 2021-01-01 to 2021-01-02"):
        join_features(case.package, "2021-01-01", "2021-01-02", case.data, case.history, case.folder / "examples")


def test_a_history_without_a_view_is_one_sentence(parcels: Make) -> None:
    case = parcels({"stored: [busy]": "stored: [calm]"}, {"busy": "calm"})
    build_features(case.package, case.data, case.history)
    other = parcels()
    with pytest.raises(LooplineError, match=r"history .* has no table 'busy', which usecase.yaml names"):
        join_features(other.package, "2020-01-01", "2020-01-02", other.data, case.history, other.folder / "examples")

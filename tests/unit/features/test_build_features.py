"""Building the history of feature views."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from feature_cases import FLIGHTS, NOON, TIMESTAMP, Flights, Make

from loopline.components.contract.dataset import Dataset
from loopline.components.errors import LooplineError
from loopline.components.features.build import build_features

BUSY = "select shop, seen_at as event_timestamp, visitors from visits"


def test_one_table_per_view_by_time_with_declared_types(flights: Flights) -> None:
    history = flights.history
    assert list(history.tables) == [
        "origin_departures",
        "origin_arrivals",
        "destination_arrivals",
        "carrier_departures",
        "carrier_arrivals",
        "weather",
        "plane",
    ]
    table = history.read("origin_departures")
    assert table.column_names[:2] == ["origin", "event_timestamp"]
    assert table.schema.field("event_timestamp").type == TIMESTAMP
    assert table.schema.field("origin_departures_1h").type == pa.int64()
    moments = table["event_timestamp"].to_pylist()
    assert moments == sorted(moments)
    assert history.facts["data"] == Dataset.open(flights.data).digest
    assert set(history.facts["feature_views"]) == set(history.tables)


def test_same_input_gives_the_same_bytes(flights: Flights, tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        again = build_features(FLIGHTS, flights.data, tmp_path / attempt)
        assert again.digest == flights.history.digest


def test_rolling_delays_are_those_of_a_plain_loop(flights: Flights) -> None:
    departed = [
        (row["departed_at"], row["departure_delay"])
        for row in flights.tables["flights"].to_pylist()
        if row["origin"] == "JFK" and row["departed_at"] is not None
    ]
    rows = [row for row in flights.history.read("origin_departures").to_pylist() if row["origin"] == "JFK"]
    for row in rows[:: len(rows) // 20]:
        now = row["event_timestamp"]
        last = [delay for moment, delay in departed if now - timedelta(hours=1) <= moment <= now]
        assert row["origin_departures_1h"] == len(last)
        assert row["origin_delay_1h"] == pytest.approx(sum(last) / len(last))


def test_rows_that_nothing_can_find_are_left_out_and_counted(parcels: Make) -> None:
    case = parcels()
    case.write([], [("a", 0, 5), (None, 1, 6), ("b", None, 7), ("b", 2, None)])
    history = build_features(case.package, case.data, case.history)
    assert history.read("busy").to_pylist() == [
        {"shop": "a", "event_timestamp": NOON, "visitors": 5},
        {"shop": "b", "event_timestamp": NOON + timedelta(minutes=2), "visitors": None},
    ]
    assert history.facts["unfindable"] == {"busy": 2}


def test_a_view_without_rows_has_an_empty_history_of_the_right_types(parcels: Make) -> None:
    case = parcels()
    case.write([], [])
    assert build_features(case.package, case.data, case.history).read("busy").schema == pa.schema(
        {"shop": pa.string(), "event_timestamp": TIMESTAMP, "visitors": pa.int64()}
    )


def test_values_take_the_type_that_the_view_declares(parcels: Make) -> None:
    sql = "select shop, seen_at::timestamp as event_timestamp, sum(visitors) as visitors from visits group by all; "
    case = parcels(features={BUSY: sql})
    case.write([], [("a", 0, 5), ("a", 0, 6)])
    history = build_features(case.package, case.data, case.history)
    assert history.tables["busy"]["columns"]["visitors"] == "int64", "a sum of integers is a HUGEINT for DuckDB"
    assert history.read("busy").to_pylist() == [{"shop": "a", "event_timestamp": NOON, "visitors": 11}]


def test_created_timestamps_and_field_mappings_reach_the_history(parcels: Make) -> None:
    case = parcels(
        features={
            "visitors=Int64": 'people=Int64, source={"field_mapping": {"visitors": "people"}, '
            '"created_timestamp_column": "noted"}',
            "visitors from visits": "seen_at + interval 1 minute as noted, visitors from visits",
        }
    )
    case.write([], [("a", 0, 5)])
    history = build_features(case.package, case.data, case.history)
    assert list(history.tables["busy"]["columns"]) == ["shop", "event_timestamp", "noted", "visitors"]


def test_only_the_needed_views_are_built(parcels: Make) -> None:
    case = parcels(features={"HISTORY = {": 'spare = view("spare", other=Int64)\nHISTORY = {"spare": "nonsense", '})
    assert list(build_features(case.package, case.data, case.history).tables) == ["busy"]


@pytest.mark.parametrize(
    ("spec", "features", "says"),
    [
        ({}, {'"busy": "': '"bussy": "'}, "HISTORY has SQL for 'bussy', but no feature view .* did you mean 'busy'"),
        ({}, {"HISTORY = {": "HISTORY = {} or {} if True else {"}, "feature view 'busy' has no SQL; add it to HISTORY"),
        ({}, {"HISTORY": "HISTORIES"}, "has no HISTORY"),
        ({"stored: [busy]": "stored: [bisy]"}, {}, "features.stored names 'bisy', .* did you mean 'busy'"),
        ({"stored: [busy]": "stored: ['busy:vistors']"}, {}, "no such feature; did you mean 'visitors'"),
        ({}, {BUSY: "select shop shop shop"}, "SQL of feature view 'busy' fails: Parser Error"),
        ({}, {"from visits": "from visit"}, "SQL of feature view 'busy' fails: Catalog Error: .*visit"),
        ({}, {", visitors from": " from"}, "returns no column 'visitors'; it returns shop, event_timestamp"),
        ({}, {"visitors from": "visitors + 0.5 as visitors from"}, "returns 'visitors' as decimal.*, not as the int64"),
        ({}, {"visitors from": "'many' as visitors from"}, "returns 'visitors' as string, not as the int64"),
        ({}, {"seen_at as event_timestamp": "shop as event_timestamp"}, "SQL of feature view 'busy' fails: Conversion"),
        (
            {},
            {"seen_at as event": "timestamptz '2020-01-01' as event"},
            "different values for the same timestamp, shop = a",
        ),
        ({}, {"visitors=Int64": "weight=Int64"}, "'weight' of view 'busy' has the name of a column of orders"),
        ({}, {"visitors=Int64": "label=Int64"}, "'label' of view 'busy' has the name of a column of every examples"),
        (
            {},
            {"shop = Entity": "shops = [Entity", "STRING)\n": "STRING)]\n", "(shop,)": "shops"},
            "entity 'store' must be a var",
        ),
        ({}, {"visitors=Int64": ""}, "feature view 'busy' declares no features"),
    ],
)
def test_bad_definitions_are_one_sentence(
    parcels: Make, spec: dict[str, str], features: dict[str, str], says: str
) -> None:
    case = parcels(spec, features)
    with pytest.raises(LooplineError, match=says):
        build_features(case.package, case.data, case.history)
    assert not case.history.exists()


def test_two_views_cannot_share_a_feature_name(parcels: Make) -> None:
    case = parcels(
        {"stored: [busy]": "stored: [busy, calm]"},
        {"HISTORY = {": f'calm = view("calm", visitors=Int64)\nHISTORY = {{"calm": "{BUSY}", '},
    )
    with pytest.raises(LooplineError, match="'visitors' of view 'calm' has the name of a feature of view 'busy'"):
        build_features(case.package, case.data, case.history)


def test_lost_data_is_one_sentence(parcels: Make) -> None:
    case = parcels()
    (case.data / "visits.parquet").write_bytes(b"")
    with pytest.raises(LooplineError, match="does not have the digest it was written with"):
        build_features(case.package, case.data, case.history)

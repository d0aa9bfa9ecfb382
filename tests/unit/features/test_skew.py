"""Online features compared with offline ones."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value
from feature_cases import FLIGHTS, Flights, Make, Parcels

from loopline.components.errors import LooplineError
from loopline.components.features.build import build_features
from loopline.components.features.join import join_features
from loopline.components.features.materialise import materialise
from loopline.components.features.skew import ViewSkew, check_skew

ONE_O_CLOCK = "2020-01-01T13:00"


@pytest.fixture
def case(parcels: Make) -> Parcels:
    made = parcels()
    visits = [("a", 0, 5), ("a", 15, 6), ("b", -1, 7)]
    made.write([("o1", "a", 1.0, 10, 30, 20.0), ("o2", "b", 1.0, 10, 30, 20.0), ("o3", "c", 1.0, 10, 30, 20.0)], visits)
    build_features(made.package, made.data, made.history)
    materialise(made.package, ONE_O_CLOCK, made.folder / "store", made.history, made.folder / "receipt.json")
    return made


def check(case: Parcels, end: str = ONE_O_CLOCK) -> list[ViewSkew]:
    return check_skew(case.package, end, case.folder / "store", case.data, case.history, case.folder / "skew.md")


def tamper(case: Parcels, statement: str, *values: object) -> None:
    with sqlite3.connect(case.folder / "store" / "online.db") as connection:
        assert connection.execute(statement, values).rowcount > 0


def test_equal_values_expired_ones_and_unknown_keys_are_counted(case: Parcels) -> None:
    assert check(case) == [
        ViewSkew("busy", keys=3, values=1, expired=1, unknown=1, ahead=0, oldest=timedelta(minutes=45))
    ]
    report = (case.folder / "skew.md").read_text()
    assert "1 values of 3 keys compared, all equal" in report
    assert "| busy | 3 | 1 | 1 | 1 | 0 | 0:45:00 |" in report


def test_flights_are_the_same_online_and_offline(flights: Flights, tmp_path: Path) -> None:
    for end in ("2013-02-05T12:00", "2013-02-11"):
        materialise(FLIGHTS, end, tmp_path / "store", flights.history.path, tmp_path / "receipt.json")
        results = check_skew(FLIGHTS, end, tmp_path / "store", flights.data, flights.history.path, tmp_path / "skew.md")
        assert {result.view: result.keys for result in results} == {
            "origin_departures": 3,
            "origin_arrivals": 3,
            "destination_arrivals": 92,
            "carrier_departures": 15,
            "carrier_arrivals": 15,
            "weather": 3,
            "plane": 500,
        }
        assert all(result.values > 0 and result.ahead == 0 for result in results)
        assert any(result.expired for result in results)


def test_a_store_that_moved_on_is_not_compared_with_the_past(case: Parcels) -> None:
    (result,) = check(case, "2020-01-01T12:05")
    assert (result.ahead, result.values, result.unknown) == (1, 1, 1)


def test_a_tampered_value_is_named(case: Parcels) -> None:
    tamper(
        case, "update parcels_busy set value = ? where value_text = '6' or 1", Value(int64_val=600).SerializeToString()
    )
    says = "feature 'visitors' of view 'busy' for shop = a is 6 offline and 600 online"
    with pytest.raises(LooplineError, match=says):
        check(case)


def test_a_lost_value_is_named(case: Parcels) -> None:
    tamper(case, "delete from parcels_busy")
    with pytest.raises(LooplineError, match="for shop = a is 6 offline and None online"):
        check(case)


def test_a_value_of_the_future_is_named(case: Parcels) -> None:
    tamper(case, "update parcels_busy set event_ts = event_ts + 86400")
    with pytest.raises(LooplineError, match="holds future values: feature view 'busy' has values since 2020-01-02T"):
        check(case)


def test_a_value_that_pretends_to_be_fresh_is_named(case: Parcels) -> None:
    """The store keeps b's value for ever; its event timestamp is what says that it has expired."""
    tamper(case, "update parcels_busy set event_ts = event_ts + 1800")
    with pytest.raises(LooplineError, match="for shop = b is None offline and 7 online"):
        check(case)


def test_what_is_not_materialised_cannot_be_compared(case: Parcels) -> None:
    with pytest.raises(
        LooplineError, match="'busy' is materialised up to 2020-01-01T13:00:00, not to 2020-01-01T14:00"
    ):
        check(case, "2020-01-01T14:00")
    (case.folder / "store" / "registry.db").unlink()
    with pytest.raises(LooplineError, match="there is no feature store"):
        check(case)


def test_a_sub_second_age_at_the_ttl_is_no_skew(parcels: Make) -> None:
    """The online store keeps whole seconds: 12:00:00.5 reads as 12:00:00, which is an hour before 13:00:00.2."""
    made = parcels()
    made.write([("o1", "a", 1.0, 10, 30, 20.0)], [("a", 0.5 / 60, 5)])
    build_features(made.package, made.data, made.history)
    end = "2020-01-01T13:00:00.2"
    materialise(made.package, end, made.folder / "store", made.history, made.folder / "receipt.json")
    (result,) = check(made, end)
    assert (result.keys, result.expired) == (1, 1)
    repository = FeatureStore(repo_path=str(made.folder / "store"))
    assert repository.get_online_features(["busy:visitors"], [{"shop": "a"}]).to_dict()["visitors"] == [5]


def test_a_view_without_an_entity_has_one_key(parcels: Make) -> None:
    made = parcels(features={"visitors=Int64": "entities=(), visitors=Int64", "select shop, seen_at": "select seen_at"})
    build_features(made.package, made.data, made.history)
    materialise(made.package, ONE_O_CLOCK, made.folder / "store", made.history, made.folder / "receipt.json")
    (result,) = check(made)
    assert (result.keys, result.values) == (1, 1)
    tamper(made, "update parcels_busy set value = ?", Value(int64_val=600).SerializeToString())
    with pytest.raises(LooplineError, match="for the only key is 6 offline and 600 online"):
        check(made)


def test_no_stored_features_are_no_skew(parcels: Make) -> None:
    made = parcels({"stored: [busy], ": ""})
    build_features(made.package, made.data, made.history)
    materialise(made.package, ONE_O_CLOCK, made.folder / "store", made.history, made.folder / "receipt.json")
    assert check(made) == []


@pytest.mark.parametrize(
    "features",
    [
        {", value_type=ValueType.STRING)": ")"},
        {"visitors=Int64": "shop=String, visitors=Int64"},
        {"ttl=timedelta(hours=1)": "ttl=None"},
        {"ttl=ttl,": ""},
        {"seen_at as event_timestamp": "seen_at::timestamp as event_timestamp"},
        {'name="store", join_keys=["shop"]': 'name="shop"'},
        {"visitors=Int64": "visitors=Float32"},
        {"visitors=Int64": "visitors=Int64, at=UnixTimestamp", "visitors from": "visitors, seen_at as at from"},
    ],
    ids=["key type inferred", "key in schema", "no ttl", "default ttl", "naive time", "key by name", "float", "moment"],
)
def test_definitions_as_people_write_them_go_all_the_way(parcels: Make, features: dict[str, str]) -> None:
    made = parcels({"stored: [busy]": "stored: ['busy:visitors']"}, features)
    build_features(made.package, made.data, made.history)
    joined = join_features(made.package, "2020-01-01", "2020-01-02", made.data, made.history, made.folder / "examples")
    assert joined.read("examples")["visitors"].to_pylist() == [5, 7, None]
    for rows in (2, 0):
        receipt = materialise(made.package, ONE_O_CLOCK, made.folder / "store", made.history, made.folder / "receipt")
        assert receipt["views"]["busy"]["rows"] == rows
    (result,) = check(made)
    assert (result.keys, result.values) == (2, 2)

"""The online store: only what is new, never beyond the moment, never back; and what the catalogue says about it."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feature_cases import FLIGHTS, Flights, Make, Parcels

from loopline.components.errors import LooplineError
from loopline.components.features.build import build_features
from loopline.components.features.catalogue import views
from loopline.components.features.materialise import materialise

ONE_O_CLOCK = "2020-01-01T13:00"


@pytest.fixture
def case(parcels: Make) -> Parcels:
    made = parcels()
    made.write([("o1", "a", 1.0, 10, 30, 20.0)], [("a", 0, 5), ("a", 15, 6), ("b", 10, 7), ("a", 75, 8)])
    build_features(made.package, made.data, made.history)
    return made


def materialise_to(case: Parcels, end: str, history: Path | None = None) -> dict[str, Any]:
    return materialise(case.package, end, case.folder / "store", history or case.history, case.folder / "receipt.json")


def online(case: Parcels, *shops: str) -> list[int | None]:
    repository = FeatureStore(repo_path=str(case.folder / "store"))
    found = repository.get_online_features(["busy:visitors"], [{"shop": shop} for shop in shops]).to_dict()
    values: list[int | None] = found["visitors"]
    return values


def test_it_moves_on_and_never_beyond_the_moment(case: Parcels) -> None:
    first = materialise_to(case, "2020-01-01T12:05")
    assert (first["views"]["busy"]["rows"], online(case, "a", "b", "x")) == (1, [5, None, None])
    second = materialise_to(case, ONE_O_CLOCK)
    assert (second["views"]["busy"]["rows"], online(case, "a", "b")) == (2, [6, 7])
    assert second["views"]["busy"]["start"] == first["views"]["busy"]["end"] == "2020-01-01T12:05:00"
    assert materialise_to(case, "2020-01-01T13:15")["views"]["busy"]["rows"] == 1, "the moment itself is included"
    assert online(case, "a", "b") == [8, 7]
    assert json.loads((case.folder / "receipt.json").read_text())["views"]["busy"]["rows"] == 1


def test_the_same_again_and_the_past_write_nothing(case: Parcels) -> None:
    materialise_to(case, ONE_O_CLOCK)
    written = (case.folder / "store" / "online.db").read_bytes()
    for end in (ONE_O_CLOCK, "2020-01-01T12:05"):
        assert materialise_to(case, end)["views"]["busy"]["rows"] == 0
    assert (case.folder / "store" / "online.db").read_bytes() == written
    assert views("parcels", case.folder / "store")[0]["materialised"] == "2020-01-01T13:00:00"


def test_another_history_corrects_and_adds_but_brings_no_old_value_back(case: Parcels) -> None:
    materialise_to(case, ONE_O_CLOCK)
    late = case.folder / "late"
    case.write([], [("a", 0, 50), ("b", 10, 70), ("c", 1, 9), (None, 2, 1)])
    build_features(case.package, case.data, late)
    receipt = materialise_to(case, ONE_O_CLOCK, late)
    assert receipt["views"]["busy"]["rows"] == 2
    assert online(case, "a", "b", "c") == [6, 70, 9]


def test_another_history_up_to_an_earlier_moment_is_not_taken_for_materialised(case: Parcels) -> None:
    materialise_to(case, ONE_O_CLOCK)
    lineage = views("parcels", case.folder / "store")[0]["tags"]
    other = case.folder / "other"
    case.write([], [("a", 15, 60)])
    build_features(case.package, case.data, other)
    assert materialise_to(case, "2020-01-01T12:30", other)["views"]["busy"]["rows"] == 0
    assert views("parcels", case.folder / "store")[0]["tags"] == lineage
    assert materialise_to(case, ONE_O_CLOCK, other)["views"]["busy"]["rows"] == 1
    assert online(case, "a", "b") == [60, 7]


def test_a_use_case_without_stored_features_has_nothing_to_materialise(parcels: Make) -> None:
    case = parcels({"stored: [busy], ": ""})
    build_features(case.package, case.data, case.history)
    assert materialise_to(case, ONE_O_CLOCK)["views"] == {}
    assert views("parcels", case.folder / "store") == []


def test_a_null_replaces_a_value_and_whole_numbers_stay_whole(case: Parcels) -> None:
    large = 2**53 + 1
    case.write([], [("a", 0, 5), ("a", 1, None), ("b", 1, large)])
    build_features(case.package, case.data, case.history)
    assert materialise_to(case, "2020-01-01T12:00")["views"]["busy"]["rows"] == 1
    materialise_to(case, ONE_O_CLOCK)
    assert online(case, "a", "b") == [None, large]


def test_many_keys_are_all_written(case: Parcels) -> None:
    case.write([], [(f"s{number}", 0, number) for number in range(2500)])
    build_features(case.package, case.data, case.history)
    assert materialise_to(case, ONE_O_CLOCK)["views"]["busy"]["rows"] == 2500
    assert online(case, "s0", "s999", "s1000", "s2499") == [0, 999, 1000, 2499]


def test_a_view_without_an_entity_and_with_created_timestamps(parcels: Make) -> None:
    case = parcels(
        features={
            "visitors=Int64": 'entities=(), visitors=Int64, source={"created_timestamp_column": "noted"}',
            "select shop, seen_at": "select seen_at + interval 1 minute as noted, seen_at",
        }
    )
    build_features(case.package, case.data, case.history)
    assert [materialise_to(case, ONE_O_CLOCK)["views"]["busy"]["rows"] for _ in range(2)] == [1, 0]
    repository = FeatureStore(repo_path=str(case.folder / "store"))
    assert repository.get_online_features(["busy:visitors"], [{"__dummy_id": ""}]).to_dict()["visitors"] == [6]


def test_a_kill_in_the_middle_is_repaired_by_the_next_call(
    flights: Flights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, end = tmp_path / "store", "2013-02-11"
    write_batch = SqliteOnlineStore.online_write_batch
    calls = []

    def killing(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        write_batch(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "online_write_batch", killing)
        child = multiprocessing.get_context("fork").Process(
            target=materialise, args=(FLIGHTS, end, store, flights.history.path, tmp_path / "receipt.json")
        )
        child.start()
        child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not (store / "registry.db").exists()
    assert not (tmp_path / "receipt.json").exists()

    repaired = materialise(FLIGHTS, end, store, flights.history.path, tmp_path / "receipt.json")
    assert repaired["views"]["origin_departures"]["rows"] == 0, "what was written before the kill is there"
    assert repaired["views"]["weather"]["rows"] == 3
    assert [path.name for path in store.iterdir() if "partial" in path.name] == []
    assert {view["materialised"] for view in views("flights", store)} == {"2013-02-11T05:00:00"}


def test_the_catalogue_tells_what_is_there_and_where_it_comes_from(flights: Flights, tmp_path: Path) -> None:
    materialise(FLIGHTS, "2013-02-11", tmp_path, flights.history.path, tmp_path / "receipt.json")
    listed = {view["name"]: view for view in views("flights", tmp_path)}
    assert list(listed) == sorted(flights.history.tables)
    plane = listed["plane"]
    assert (plane["join_keys"], plane["features"], plane["ttl"]) == (["tailnum"], ["plane_year", "seats"], "unlimited")
    assert plane["types"] == {"tailnum": "String", "plane_year": "Int64", "seats": "Int64"}
    assert plane["owner"] == "flights@example.com"
    assert plane["tags"] == {
        "usecase": FLIGHTS,
        "version": flights.history.facts["feature_views"]["plane"],
        "history": flights.history.tables["plane"]["digest"],
        "data": flights.history.facts["data"],
    }


def test_the_version_of_a_view_is_that_of_its_definition(parcels: Make) -> None:
    versions = []
    for change in ({}, {"from visits": "from visits where true"}, {"hours=1": "hours=2"}, {"Int64)": "Float64)"}, {}):
        case = parcels(features=change)
        versions.append(build_features(case.package, case.data, case.history).facts["feature_views"]["busy"])
    assert len(set(versions)) == 4
    assert versions[0] == versions[-1]


def test_no_store_and_no_history_are_one_sentence(parcels: Make) -> None:
    case = parcels()
    with pytest.raises(LooplineError, match=r"there is no feature store in .* yet"):
        views("parcels", case.folder / "store")
    with pytest.raises(LooplineError, match="no artifact at"):
        materialise_to(case, ONE_O_CLOCK)
    build_features(case.package, case.data, case.history)
    with pytest.raises(LooplineError, match="'noon' is not a date or time"):
        materialise_to(case, "noon")

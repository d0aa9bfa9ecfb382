"""Stored features: the same values as Feast gives, and none that is stale, missing or from after the event."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from serving_case import NOON, Served

from loopline.components.contract.examples import Feature
from loopline.components.contract.feature_store import settings
from loopline.components.errors import LooplineError
from loopline.components.serving.features.online_store import FeastOnlineStore
from loopline.components.serving.features.values import StoredRow, View, all_missing, entity_keys, usable_values
from loopline.components.serving.protocol.request import InferenceRequest

VIEW = View("line_delay", ("line",), timedelta(hours=1), ("delay", "mood"))
EVENT = NOON + timedelta(minutes=10)
LEAD = timedelta(minutes=10)


def judged(known_at: datetime, event: datetime = EVENT, view: View = VIEW, **values: Any) -> tuple[Any, Any, Any]:
    held = {("M1",): StoredRow(known_at, {"delay": 4.0, "mood": "bad"} | values)}
    stored = usable_values([view], [[("M1",)]], [held], [event], LEAD)
    return {name: column[0] for name, column in stored.columns.items()}, stored.missing[0], stored.stale[0]


NONE = {"delay": None, "mood": None}


def test_a_value_within_its_ttl_is_taken() -> None:
    assert judged(NOON) == ({"delay": 4.0, "mood": "bad"}, [], [])
    assert judged(NOON - timedelta(hours=1)) == ({"delay": 4.0, "mood": "bad"}, [], []), "its ttl is included"


def test_a_value_beyond_its_ttl_is_stale_at_the_moment_of_the_prediction() -> None:
    late = NOON - timedelta(hours=1, microseconds=1)
    assert judged(late) == (NONE, [], ["delay", "mood"])
    assert judged(late, EVENT - timedelta(minutes=1)) == ({"delay": 4.0, "mood": "bad"}, [], [])


def test_a_ttl_of_zero_is_for_ever() -> None:
    forever = View("line_delay", ("line",), timedelta(0), ("delay", "mood"))
    assert judged(datetime(1990, 1, 1, tzinfo=UTC), view=forever)[2] == []


def test_a_value_known_after_the_event_is_missing() -> None:
    assert judged(EVENT) == ({"delay": 4.0, "mood": "bad"}, [], []), "asked late, more is known: as in life"
    assert judged(EVENT + timedelta(seconds=1)) == (NONE, ["delay", "mood"], [])


def test_a_feature_without_a_value_is_missing_and_the_others_are_not() -> None:
    assert judged(NOON, delay=None) == ({"delay": None, "mood": "bad"}, ["delay"], [])
    assert judged(NOON, delay=float("nan")) == ({"delay": None, "mood": "bad"}, ["delay"], [])


def test_rows_keep_their_places_and_share_lookups() -> None:
    request = InferenceRequest("id", 4, {"line": ["M1", None, "M9", "M1"]})
    assert entity_keys(VIEW, request) == [("M1",), None, ("M9",), ("M1",)]
    assert entity_keys(View("all", (), timedelta(0), ("x",)), request) == [()] * 4
    held = {("M1",): StoredRow(NOON, {"delay": 4.0, "mood": "bad"})}
    stored = usable_values([VIEW], [entity_keys(VIEW, request)], [held], [EVENT] * 4, LEAD)
    assert stored.columns["delay"] == [4.0, None, None, 4.0]
    assert stored.missing == [[], ["delay", "mood"], ["delay", "mood"], []]


def test_without_a_store_everything_is_missing() -> None:
    stored = all_missing([VIEW], 2)
    assert stored.columns == {"delay": [None, None], "mood": [None, None]}
    assert [*stored.missing] == [["delay", "mood"]] * 2


WANTED = [Feature("delay", "number", "line_delay"), Feature("mood", "category", "line_delay")]
LINES = ["M1", "M2", "M3", "M4", ""]


def test_the_store_returns_what_feast_returns(served: Served) -> None:
    from feast import RepoConfig

    online = FeastOnlineStore("trams", str(served.store))
    views = online.views([*WANTED, Feature("years", "number", "driver")])
    assert [(view.name, view.join_keys, view.ttl, view.features) for view in views] == [
        ("line_delay", ("line",), timedelta(hours=1), ("delay", "mood")),
        ("driver", ("driver",), timedelta(0), ("years",)),
    ]
    drivers = ["Kim", "Lee"]
    found = asyncio.run(online.read(views, [[(line,) for line in LINES], [(driver,) for driver in drivers]]))
    repository = FeatureStore(config=RepoConfig(**settings("trams", served.store), repo_path=served.store))
    for line, driver in itertools.product(LINES, drivers):
        asked = {"line": line, "driver": driver}
        references = ["line_delay:delay", "line_delay:mood", "driver:years"]
        theirs = repository.get_online_features(references, [asked]).to_dict(include_event_timestamps=True)
        for view, key, held in (("line_delay", line, found[0]), ("driver", driver, found[1])):
            ours = held.get((key,))
            for feature in views[0].features if view == "line_delay" else ("years",):
                assert theirs[feature] == [ours.values[feature] if ours else None]
                assert theirs[f"{feature}__ts"] == [int(ours.known_at.timestamp()) if ours else 0]


def test_many_keys_are_read_at_once(served: Served) -> None:
    online = FeastOnlineStore("trams", str(served.store))
    views = online.views(WANTED)
    found = asyncio.run(online.read(views, [[(f"M{number}",) for number in range(2500)]]))
    assert set(found[0]) == {("M1",), ("M2",), ("M4",)}


def test_a_store_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LooplineError, match=f"there is no feature store in {tmp_path}: materialise first"):
        FeastOnlineStore("trams", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(LooplineError, match="set LOOPLINE_ONLINE_STORE"):
        FeastOnlineStore("trams", "s3://bucket/features/trams")

import json
import threading
from functools import partial

import pytest

from loopline.components.errors import LooplineError
from loopline.components.registry import aliases, promotion_log
from loopline.components.registry.client import opened
from loopline.components.registry.fetch import fetch_model, resolve
from loopline.components.registry.models import history, models, passed_gates
from loopline.components.registry.promote import promote
from loopline.components.registry.rollback import restore_champion, rollback

USECASE, NAME = "loopline.usecases.flights", "flights"


def standing(home) -> tuple[int | None, int | None]:
    return resolve(NAME, home.registry, "champion"), resolve(NAME, home.registry, "previous")


def receipt(home, seed: int) -> dict:
    return json.loads(home.receipt(seed).read_text())


def test_first_model_that_passes_becomes_champion(home):
    home.register(1)
    assert home.promote(1) == "promoted"
    (version,) = models(NAME, home.registry)
    assert version.aliases == ("champion",)
    assert receipt(home, 1) == {
        "format": "loopline.promotion/1",
        "model": "flights",
        "from": None,
        "to": 1,
        "outcome": "promoted",
        "reason": "version 1 is the first champion",
        "time": receipt(home, 1)["time"],
    }


def test_challenger_takes_the_place_of_the_champion(three, tmp_path):
    assert three.promote(3, 1) == "promoted"
    assert {v.version: v.aliases for v in models(NAME, three.registry)} == {3: ("champion",), 2: (), 1: ("previous",)}
    assert receipt(three, 3)["reason"] == "version 3 took the place of version 1"
    assert fetch_model(USECASE, three.registry, "champion", tmp_path / "c").digest == three.model(3).digest
    assert fetch_model(USECASE, three.registry, "previous", tmp_path / "p").digest == three.model(1).digest


def test_champion_that_changed_meanwhile_is_kept(three):
    three.promote(2, 1)
    assert three.promote(3, 1) == "kept"
    assert standing(three) == (2, 1)
    assert receipt(three, 3)["from"] == 2
    assert receipt(three, 3)["reason"] == (
        "the decision was made against version 1, but version 2 was champion when it was carried out"
    )
    assert models(NAME, three.registry)[0].aliases == ("challenger",)
    assert three.promote(3, 2) == "promoted"


def test_new_replay_replaces_whoever_is_champion(three):
    assert three.promote(2, "any") == "promoted"
    assert standing(three) == (2, 1)
    assert three.promote(3, "any") == "promoted"
    assert standing(three) == (3, 2)


def test_a_version_passed_its_gates_if_its_promotion_is_recorded(three):
    assert three.promote(2, "3") == "kept"
    assert [passed_gates(NAME, three.registry, version) for version in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("expected", ["", "3"])
def test_promotion_against_a_champion_that_never_was_is_kept(three, expected):
    assert three.promote(2, expected) == "kept"
    assert standing(three) == (1, None)


def test_repeated_promotion_answers_as_it_did_first(three):
    assert three.promote(2, 1) == "promoted"
    first = receipt(three, 2)
    assert three.promote(2, 1) == "promoted"
    assert receipt(three, 2) == first
    three.promote(3, 2)
    assert three.promote(2, 1) == "promoted"  # superseded: changes nothing
    assert standing(three) == (3, 2)
    assert receipt(three, 2)["reason"] == (
        "version 2 took the place of version 1; "
        "since then version 3 became champion, and the old decision does not undo that"
    )
    assert three.promote(1) == "promoted"
    assert standing(three) == (3, 2)
    assert len(history(NAME, three.registry)) == 3


def test_kept_promotion_stays_kept_when_the_champion_comes_back(three):
    three.promote(2, 1)
    assert three.promote(3, 1) == "kept"
    rollback(NAME, three.registry)
    assert three.promote(3, 1) == "kept"
    assert standing(three) == (1, 2)


def test_promotion_is_not_repeated_over_a_rollback(three):
    three.promote(2, 1)
    rollback(NAME, three.registry)
    assert three.promote(2, 1) == "promoted"
    assert standing(three) == (1, 2)


def test_promoting_the_champion_again_takes_its_candidacy(three):
    three.register(1)
    assert resolve(NAME, three.registry, "candidate") == 1
    assert three.promote(1, 1) == "promoted"
    assert receipt(three, 1)["reason"] == "version 1 was champion already"
    assert resolve(NAME, three.registry, "candidate") is None


def test_failed_verdict_is_refused(three):
    with pytest.raises(LooplineError, match=r"version 2 of flights cannot become champion: auc 0.6 is below"):
        promote(USECASE, three.registry, "2", "1", three.verdict(2, passed=False), three.receipt(2))
    assert standing(three) == (1, None)
    assert len(history(NAME, three.registry)) == 1
    assert not three.receipt(2).exists()


def test_verdict_of_another_model_is_refused(three):
    with pytest.raises(LooplineError, match="about another model than version 2 of flights"):
        promote(USECASE, three.registry, "2", "1", three.verdict(3), three.receipt(2))
    assert standing(three) == (1, None)


def test_unknown_version_or_champion_is_refused(three):
    with pytest.raises(LooplineError, match="no version or alias '9'"):
        promote(USECASE, three.registry, "9", "1", three.verdict(2), three.receipt(2))
    with pytest.raises(LooplineError, match="'champion' is no version number"):
        promote(USECASE, three.registry, "2", "champion", three.verdict(2), three.receipt(2))


def test_rollback_and_back_again(three):
    three.promote(2, 1)
    assert rollback(NAME, three.registry) == promotion_log.ChampionState(1, 2)
    assert standing(three) == (1, 2)
    assert rollback(NAME, three.registry) == promotion_log.ChampionState(2, 1)
    assert standing(three) == (2, 1)
    assert three.promote(3, 2) == "promoted"
    assert standing(three) == (3, 2)
    assert [entry.change.kind for entry in history(NAME, three.registry)] == [
        "promotion",
        "promotion",
        "rollback",
        "rollback",
        "promotion",
    ]


def test_a_release_that_was_rolled_back_gives_the_title_back_once(three):
    three.promote(2, 1)
    assert restore_champion(NAME, three.registry, version=2, stable=1)
    assert standing(three) == (1, 2)
    assert not restore_champion(NAME, three.registry, version=2, stable=1)
    assert standing(three) == (1, 2)


def test_a_release_gives_back_no_title_that_somebody_else_took_since(three):
    three.promote(2, 1)
    three.promote(3, 2)
    assert not restore_champion(NAME, three.registry, version=2, stable=1)
    assert standing(three) == (3, 2)


def test_rollback_needs_something_to_go_back_to(empty, three):
    with pytest.raises(LooplineError, match="flights has no champion yet"):
        rollback(NAME, empty.registry)
    with pytest.raises(LooplineError, match="version 1 is the first champion of flights; there is no previous"):
        rollback(NAME, three.registry)


def test_version_deleted_by_hand_is_explained(three, tmp_path):
    three.promote(2, 1)
    with opened(three.registry) as client:
        client.delete_model_version(NAME, "2")
    with pytest.raises(LooplineError, match="version 2, the champion of flights, was deleted by hand; go back with"):
        fetch_model(USECASE, three.registry, "champion", tmp_path / "fetched")
    assert [version.version for version in models(NAME, three.registry)] == [3, 1]
    assert rollback(NAME, three.registry).champion == 1
    assert standing(three) == (1, None)
    with pytest.raises(LooplineError, match="version 2, the previous champion of flights, was deleted by hand"):
        rollback(NAME, three.registry)
    assert three.promote(3, 1) == "promoted"
    assert standing(three) == (3, 1)


def test_alias_moved_by_hand_is_moved_back(three):
    with opened(three.registry) as client:
        client.set_registered_model_alias(NAME, "champion", "3")
    assert standing(three) == (1, None)


def test_slow_process_does_not_leave_an_older_outcome(three, monkeypatch):
    """One that read the promotion log, slept while others promoted, and then writes its aliases, notices."""
    three.promote(2, 1)
    entries = history(NAME, three.registry)
    three.promote(3, 2)
    read, stale = promotion_log.read, [entries]
    monkeypatch.setattr(promotion_log, "read", lambda client, name: stale.pop() if stale else read(client, name))
    with opened(three.registry) as client:
        assert aliases.reconcile(client, NAME) == promotion_log.ChampionState(3, 2)
        assert aliases.read_mlflow(client, NAME) == {"champion": 3, "previous": 2}


def test_of_racing_promotions_one_wins(three, fork):
    for _ in range(3):
        three.reset()
        three.verdict(2), three.verdict(3)
        children = [fork(partial(three.promote, seed, 1)) for seed in (2, 3)]
        assert [child.wait() for child in children] == [0, 0]
        outcomes = {seed: receipt(three, seed)["outcome"] for seed in (2, 3)}
        assert sorted(outcomes.values()) == ["kept", "promoted"]
        winner = next(seed for seed, outcome in outcomes.items() if outcome == "promoted")
        assert standing(three) == (winner, 1)


def test_of_many_racing_promotions_one_wins(three):
    for seed in (4, 5, 6, 7):
        three.register(seed)
    seeds = range(2, 8)
    for seed in seeds:
        three.verdict(seed)
    racers = [threading.Thread(target=three.promote, args=(seed, 1)) for seed in seeds]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    outcomes = {seed: receipt(three, seed)["outcome"] for seed in seeds}
    assert sorted(outcomes.values()) == ["kept"] * 5 + ["promoted"]
    assert outcomes[standing(three)[0]] == "promoted"


def test_racing_rollbacks_go_back_once(three, fork):
    three.promote(2, 1)
    seen = len(history(NAME, three.registry))
    children = [fork(lambda: rollback(NAME, three.registry)) for _ in range(2)]
    statuses = [child.wait() for child in children]
    # Either they saw the same and decided once, or the second saw the first's outcome and went forward again.
    decided = len(history(NAME, three.registry)) - seen
    assert statuses == [0, 0]
    assert standing(three) == ((1, 2) if decided == 1 else (2, 1))


def test_rollback_decided_on_an_old_view_is_refused(three, monkeypatch):
    three.promote(2, 1)
    entries = history(NAME, three.registry)
    three.promote(3, 2)
    read, stale = promotion_log.read, [entries]
    monkeypatch.setattr(promotion_log, "read", lambda client, name: stale.pop() if stale else read(client, name))
    with pytest.raises(
        LooplineError, match="nothing was rolled back: version 3 of flights became champion at the same"
    ):
        rollback(NAME, three.registry)
    assert standing(three) == (3, 2)

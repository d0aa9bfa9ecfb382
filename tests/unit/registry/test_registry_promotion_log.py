"""The rule of the promotion log, without MLflow: any changes in any order leave one champion."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from loopline.components.registry.promotion_log import (
    ANY,
    ChampionState,
    Change,
    promotion,
    replay,
    rollback,
    state_after,
)

NOW = datetime(2013, 6, 1, tzinfo=UTC)
VERSIONS = st.integers(1, 4)
CHANGES = st.one_of(
    st.builds(promotion, VERSIONS, st.one_of(st.none(), st.just(ANY), VERSIONS)),
    st.builds(rollback, VERSIONS, VERSIONS, st.integers(0, 3)),
)


def log(*changes: Change):
    return replay((change, NOW) for change in changes)


def test_first_promotion_needs_no_champion():
    assert state_after(log(promotion(1, None))) == ChampionState(1, None)


def test_a_replay_takes_over_from_whoever_is_champion():
    entries = log(promotion(1, None), promotion(2, "any"), promotion(2, "any"), promotion(3, 2))
    assert [entry.accepted for entry in entries] == [True, True, True]
    assert state_after(entries).champion == 3


def test_of_two_promotions_against_the_same_champion_the_first_wins():
    _, second, third = log(promotion(1, None), promotion(2, 1), promotion(3, 1))
    assert second.accepted
    assert not third.accepted
    assert third.before == third.after == ChampionState(2, 1)


def test_repeated_promotion_does_not_undo_a_rollback():
    entries = log(promotion(1, None), promotion(2, 1), rollback(1, 2, 2), promotion(2, 1))
    assert state_after(entries) == ChampionState(1, 2)
    assert len(entries) == 3


def test_rollback_of_a_rollback_goes_forward_again():
    entries = log(promotion(1, None), promotion(2, 1), rollback(1, 2, 2), rollback(2, 1, 3))
    assert state_after(entries) == ChampionState(2, 1)


def test_champion_is_promoted_already():
    *_, last = log(promotion(1, None), promotion(1, 1))
    assert last.accepted
    assert last.before == last.after == ChampionState(1, None)


def test_promotion_over_whoever_it_is_counts_once_too():
    entries = log(promotion(1, ANY), promotion(2, 1), promotion(3, ANY), promotion(1, ANY))
    assert [entry.accepted for entry in entries] == [True, True, True]
    assert state_after(entries) == ChampionState(3, 2)


@given(st.lists(CHANGES, max_size=12))
def test_the_champion_changes_only_as_decided(changes: list[Change]):
    before = ChampionState()
    for entry in log(*changes):
        assert entry.before == before
        if entry.after != before:
            assert entry.change.expected in (before.champion, ANY)
            assert entry.after == ChampionState(entry.change.version, before.champion)
            assert entry.after.champion != entry.after.previous
        before = entry.after


@given(st.lists(CHANGES, max_size=8), st.lists(CHANGES, max_size=4))
def test_later_entries_never_change_an_earlier_entry(first: list[Change], later: list[Change]):
    entries = log(*first)
    assert log(*first, *later)[: len(entries)] == entries


@given(st.lists(CHANGES, max_size=8))
def test_recording_everything_twice_changes_nothing(changes: list[Change]):
    assert log(*changes, *changes) == log(*changes)

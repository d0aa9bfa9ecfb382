"""The rule of the ledger, without MLflow: any order of any decisions leaves one champion, by rules that hold."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from loopline.components.registry.ledger import ANY, Decision, Standing, judge, promotion, rollback, standing_after

NOW = datetime(2013, 6, 1, tzinfo=UTC)
VERSIONS = st.integers(1, 4)
DECISIONS = st.one_of(
    st.builds(promotion, VERSIONS, st.one_of(st.none(), st.just(ANY), VERSIONS)),
    st.builds(rollback, VERSIONS, VERSIONS, st.integers(0, 3)),
)


def rule(*decisions: Decision):
    return judge((decision, NOW) for decision in decisions)


def test_first_promotion_needs_no_champion():
    assert standing_after(rule(promotion(1, None))) == Standing(1, None)


def test_a_replay_takes_over_from_whoever_is_champion():
    rulings = rule(promotion(1, None), promotion(2, "any"), promotion(2, "any"), promotion(3, 2))
    assert [ruling.holds for ruling in rulings] == [True, True, True]
    assert standing_after(rulings).champion == 3


def test_of_two_promotions_against_the_same_champion_the_first_wins():
    _, second, third = rule(promotion(1, None), promotion(2, 1), promotion(3, 1))
    assert second.holds
    assert not third.holds
    assert third.before == third.after == Standing(2, 1)


def test_repeated_promotion_does_not_undo_a_rollback():
    rulings = rule(promotion(1, None), promotion(2, 1), rollback(1, 2, 2), promotion(2, 1))
    assert standing_after(rulings) == Standing(1, 2)
    assert len(rulings) == 3


def test_rollback_of_a_rollback_goes_forward_again():
    rulings = rule(promotion(1, None), promotion(2, 1), rollback(1, 2, 2), rollback(2, 1, 3))
    assert standing_after(rulings) == Standing(2, 1)


def test_champion_is_promoted_already():
    *_, last = rule(promotion(1, None), promotion(1, 1))
    assert last.holds
    assert last.before == last.after == Standing(1, None)


def test_promotion_over_whoever_it_is_counts_once_too():
    rulings = rule(promotion(1, ANY), promotion(2, 1), promotion(3, ANY), promotion(1, ANY))
    assert [ruling.holds for ruling in rulings] == [True, True, True]
    assert standing_after(rulings) == Standing(3, 2)


@given(st.lists(DECISIONS, max_size=12))
def test_standing_changes_only_as_decided(decisions: list[Decision]):
    before = Standing()
    for ruling in rule(*decisions):
        assert ruling.before == before
        if ruling.after != before:
            assert ruling.decision.expected in (before.champion, ANY)
            assert ruling.after == Standing(ruling.decision.version, before.champion)
            assert ruling.after.champion != ruling.after.previous
        before = ruling.after


@given(st.lists(DECISIONS, max_size=8), st.lists(DECISIONS, max_size=4))
def test_later_entries_never_change_an_earlier_ruling(first: list[Decision], later: list[Decision]):
    rulings = rule(*first)
    assert rule(*first, *later)[: len(rulings)] == rulings


@given(st.lists(DECISIONS, max_size=8))
def test_recording_everything_twice_changes_nothing(decisions: list[Decision]):
    assert rule(*decisions, *decisions) == rule(*decisions)

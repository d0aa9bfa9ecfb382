"""What people read of a release."""

from datetime import timedelta

import pyarrow as pa
import pytest

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.analyse import analyse
from loopline.components.deployment.release import transitions as states
from loopline.components.deployment.release.markdown import record_markdown
from loopline.components.deployment.release.transitions import next_action
from tests.canary_traffic import BAD, BEGIN, CANARY, GOOD, STABLE, baseline_of, evidence_of, rows

POLICY = ReleasePolicy(steps=(5, 50))
LATER = BEGIN + timedelta(hours=1)


@pytest.fixture(scope="module")
def shifted():
    begun = states.begin("flights", STABLE, CANARY, "binary_classification", POLICY, baseline_of(POLICY), "me", BEGIN)
    return states.applied(begun, next_action(begun), "me", BEGIN)


def judged(record, behaviour, requests):
    table = pa.concat_tables([rows(behaviour, CANARY, requests, 5), rows(GOOD, STABLE, 19 * requests, 6)])
    return analyse(POLICY, record.baseline, next_action(record).step, evidence_of(table, record.baseline), LATER)


def test_the_page_says_under_which_policy_it_runs():
    begun = states.begin("flights", STABLE, CANARY, "binary_classification", POLICY, baseline_of(POLICY), "me", BEGIN)
    least, most = POLICY.requests
    limits = f"{least:,} to {most:,} requests and at most {POLICY.time_limit} a step."
    assert f"Policy: {limits} From usecase.yaml." in record_markdown(begun)
    changed = begun.model_copy(update={"overrides": ("steps", "time_limit")})
    assert "a step. From usecase.yaml, with steps, time_limit from the environment's policy.yaml." in record_markdown(
        changed
    )


def test_a_rollback_shows_why_with_its_numbers(shifted):
    decision = judged(shifted, BAD["1.5 times slower"], 1_000)
    record = states.decided(shifted, decision, "me", LATER)
    text = record_markdown(record)
    assert text.startswith("# flights: version 7 to 8\n\nUnder way, due: roll back. Begun 2013-07-01 00:00:00 UTC")
    assert "planned traffic of the canary: 5%, 50%, then all." in text
    assert "## Step 1, 5%: roll back" in text
    assert "The canary is worse than allowed: slow requests 1" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    latency = next(line for line in lines if line.startswith("| latency"))
    assert latency.endswith("| 2.00% | 1,000 / 19,000 | **worse** |")
    ended = states.applied(record, next_action(record), "me", LATER)
    assert "\n\nRolled back. Begun" in record_markdown(ended)


def test_a_step_under_way_shows_what_it_waits_for(shifted):
    text = record_markdown(shifted, judged(shifted, GOOD, 200))
    assert "Under way: step 1 of 2, 5% of the traffic." in text
    assert "## Step 1, 5%: wait" in text
    assert "200 requests of the canary are fewer than the least, 500." in text
    assert "inconclusive" in text


def test_a_step_without_evidence_has_no_table(shifted):
    decision = analyse(POLICY, shifted.baseline, next_action(shifted).step, None, LATER)
    text = record_markdown(states.decided(shifted, decision, "me", LATER))
    assert "No metrics could be read for 60 minutes." in text
    assert "|" not in text


def test_what_is_not_judged_is_an_empty_cell(shifted):
    bare = shifted.model_copy(update={"baseline": shifted.baseline.model_copy(update={"quality": None})})
    text = record_markdown(bare, judged(bare, GOOD, 200))
    assert "| quality |  |  |  |  |" in text
    assert "nothing to compare" in text

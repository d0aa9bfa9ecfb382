"""An environment's policy.yaml changes what it names and nothing else, and a typo in it is refused."""

from datetime import timedelta

import pytest

from loopline.components.contract import usecase
from loopline.components.contract.environment_policy import EnvironmentPolicy
from loopline.components.errors import LooplineError


@pytest.fixture(scope="module")
def spec():
    return usecase.load("loopline.usecases.flights").spec


@pytest.mark.parametrize("text", ["", "# nothing\n{}\n"])
def test_an_empty_policy_changes_nothing(spec, text):
    policy = EnvironmentPolicy.parse(text)
    assert policy.applied_to(spec) == spec
    assert policy.release_keys() == ()


def test_what_is_named_is_changed_and_the_rest_stays(spec):
    policy = EnvironmentPolicy.parse("release: {steps: [1, 10], scores: {margin: 0.2}}")
    changed = policy.applied_to(spec)
    assert policy.release_keys() == ("scores", "steps")
    assert changed.release.steps == (1, 10)
    assert changed.release.scores.margin == 0.2
    assert changed.release.scores.worse_by == spec.release.scores.worse_by == 0.3
    assert changed.release.time_limit == spec.release.time_limit == timedelta(days=14)
    assert changed.validation == spec.validation


def test_gates_are_replaced_as_a_whole(spec):
    changed = EnvironmentPolicy.parse("gates: [{metric: auc, slice: origin, min: 0.8}]").applied_to(spec)
    assert [(gate.metric, gate.slice, gate.min) for gate in changed.validation.gates] == [("auc", "origin", 0.8)]
    assert changed.validation.slices == spec.validation.slices
    assert changed.release == spec.release


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("relase: {}", r"policy\.yaml: relase: unknown key; did you mean 'release'\?"),
        ("release: {stpes: [1]}", r"release\.stpes: unknown key; did you mean 'steps'\?"),
        ("release: {steps: [20, 10]}", "not in ascending order"),
        ("gates: [{metric: auc}]", "gates"),
        ("steps", "is empty; it needs the sections"),
        ("release: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_refused(text, said):
    with pytest.raises(LooplineError, match=said):
        EnvironmentPolicy.parse(text)


def test_a_gate_on_a_slice_that_the_use_case_lacks(spec):
    policy = EnvironmentPolicy.parse("gates: [{metric: auc, slice: tail, min: 0.5}]")
    with pytest.raises(LooplineError, match=r"policy\.yaml for use case flights: gate on auc: 'tail' is not among"):
        policy.applied_to(spec)


def test_no_gates_at_all_are_no_policy(spec):
    with pytest.raises(LooplineError, match=r"policy\.yaml for use case flights: "):
        EnvironmentPolicy.parse("gates: []").applied_to(spec)

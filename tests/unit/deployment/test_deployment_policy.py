"""The section release of usecase.yaml: left out it has defaults, and what is wrong in it is said."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.usecase import load, read_spec
from loopline.components.errors import LooplineError


@pytest.fixture
def read(tmp_path):
    document = yaml.safe_load((Path(load("loopline.usecases.flights").folder) / "usecase.yaml").read_text())

    def with_release(release):
        path = tmp_path / "usecase.yaml"
        path.write_text(yaml.safe_dump({**document, "release": release}))
        return read_spec(path).release

    return with_release


def test_a_use_case_need_not_name_it():
    assert load("tests.usecases.temperature").spec.release == ReleasePolicy()


def test_it_reads(read):
    policy = read(
        {
            "steps": [10, 50],
            "requests": [100, 2_000],
            "time_limit": "6h",
            "false_rollback": 0.01,
            "errors": {"worse_by": 0, "margin": 0.02},
            "latency": {"quantile": 0.99, "factor": 2},
        }
    )
    assert (policy.steps, policy.requests, policy.time_limit) == ((10, 50), (100, 2_000), timedelta(hours=6))
    assert (policy.errors.worse_by, policy.errors.margin) == (0, 0.02)
    assert (policy.latency.quantile, policy.latency.factor) == (0.99, 2)
    assert policy.latency.worse_by == ReleasePolicy().latency.worse_by


@pytest.mark.parametrize("time_limit", ["1s", "0.25s", "90m", "1d", "52w"])
def test_it_is_the_same_after_json(read, time_limit):
    policy = read({"time_limit": time_limit, "steps": [1, 99]})
    assert ReleasePolicy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("release", "says"),
    [
        ({"step": [5]}, "release.step: unknown key; did you mean 'steps'?"),
        ({"latency": {"factr": 2}}, "release.latency.factr: unknown key; did you mean 'factor'?"),
        ({"steps": []}, "release.steps: Tuple should have at least 1 item"),
        ({"steps": [5, 5]}, "release: steps [5, 5] are not in ascending order; write for example [5, 25, 50]"),
        ({"steps": [50, 25]}, "release: steps [50, 25] are not in ascending order"),
        ({"steps": [0]}, "release.steps.0: Input should be greater than or equal to 1"),
        ({"steps": [5, 100]}, "release.steps.1: Input should be less than or equal to 99"),
        ({"steps": [0.05]}, "release.steps.0: Input should be a valid integer"),
        ({"requests": [0, 10]}, "release: requests is [least, most], and its least is 0"),
        ({"requests": [20, 10]}, "release: requests is [least, most], and its least is above its most"),
        ({"time_limit": "soon"}, "release.time_limit: 'soon' is not a duration"),
        ({"time_limit": "0s"}, "release.time_limit: Input should be greater than"),
        ({"false_rollback": 0}, "release.false_rollback: Input should be greater than 0"),
        ({"false_rollback": 0.5}, "release.false_rollback: Input should be less than 0.5"),
        ({"errors": {"worse_by": -0.1}}, "release.errors.worse_by: Input should be greater than or equal to 0"),
        ({"scores": {"margin": 0}}, "release.scores.margin: Input should be greater than 0"),
        ({"latency": {"quantile": 1}}, "release.latency.quantile: Input should be less than 1"),
        ({"latency": {"factor": 0.5}}, "release.latency.factor: Input should be greater than or equal to 1"),
        ({"quality": {"worse_by": "much"}}, "release.quality.worse_by: Input should be a valid number"),
    ],
)
def test_what_is_wrong_is_said(read, release, says):
    with pytest.raises(LooplineError) as error:
        read(release)
    assert says in str(error.value)

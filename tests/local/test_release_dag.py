"""The release DAG as a person calls it: real steps in their own processes, a real registry, an endpoint in files."""

import json
import re
import shutil
import time

import pytest

from loopline.components.contract import usecase
from loopline.components.registry.champion import find_champion
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace
from tests.local.conftest import Laptop
from tests.local.simulated_endpoint import SimulatedEndpoint
from tests.unit.registry.conftest import Home as Registry

CASE = usecase.load("loopline.usecases.flights")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A workspace with version 1 at the endpoint, and version 2 champion since then."""
    workspace = Workspace(tmp_path_factory.mktemp("prepared") / "workspace")
    registry = Registry(workspace.root / "registry")
    registry.folder.mkdir(parents=True)
    for version in (1, 2):
        registry.register(version)
        registry.promote(version, "any")
    Endpoint(workspace, CASE).prepare(1)
    return workspace


@pytest.fixture
def laptop(prepared, tmp_path):
    shutil.copytree(prepared.root, tmp_path / "workspace")
    made = Laptop(tmp_path / "workspace")
    Endpoint(Workspace(made.workspace), CASE).prepare(1)  # its paths are those of the copy
    return made


def played(laptop, **settings):
    return SimulatedEndpoint(Endpoint(Workspace(laptop.workspace), CASE), **settings)


def states(laptop):
    return {step["name"]: step["state"] for step in laptop.runs("release")[-1]["steps"]}


def champion(laptop):
    return find_champion("flights", Workspace(laptop.workspace).registry, "champion").version


def record(laptop):
    return json.loads((laptop.workspace / "serving/flights/release/release.json").read_text())


def test_a_good_version_is_promoted_and_then_serves(laptop):
    with played(laptop) as endpoint:
        said = laptop.loopline("release", "2")
        assert endpoint.seen == [{1: 100}, {1: 80, 2: 20}, {1: 50, 2: 50}, {2: 100}]
        assert re.findall(r"^step (\d), (\d+)%: advance", said, re.MULTILINE) == [("1", "20"), ("2", "50")]
        assert "flights version 2: promoted" in said
        assert states(laptop) == {
            **dict.fromkeys(["find-champion", "fetch-model", "render"], "succeeded"),
            **dict.fromkeys(["canary[20]", "analyse[20]", "canary[50]", "analyse[50]", "finish"], "succeeded"),
            "restore-champion": "skipped",
        }
        again = laptop.loopline("release", "2")
    assert "flights version 2: promoted" in again
    assert endpoint.seen[-1] == {2: 100}
    assert len(endpoint.seen) == 4, "nothing is done twice"
    assert "cached" not in {state for name, state in states(laptop).items() if name != "fetch-model"}


def test_a_bad_version_is_rolled_back_and_no_longer_champion(laptop):
    with played(laptop, shift={2: 0.4}) as endpoint:
        said = laptop.loopline("release", "champion", expect=1)
    assert "error: version 2 of flights was rolled back: the canary is worse than allowed" in said
    assert endpoint.seen == [{1: 100}, {1: 80, 2: 20}, {1: 100}]
    assert champion(laptop) == 1
    assert states(laptop)["restore-champion"] == "succeeded"
    assert [event["kind"] for event in record(laptop)["events"]] == ["shifted", "decided", "ended"]


def test_killed_in_the_middle_and_called_again(laptop):
    """Without a word to the steps: in the analysis of the first step, with the canary's share in force."""
    with played(laptop) as endpoint:
        endpoint.silent.set()
        process = laptop.start("release", "2")
        wait_until(lambda: {1: 80, 2: 20} in endpoint.seen, process)
        process.kill()
        process.communicate()
        endpoint.silent.clear()
        laptop.loopline("release", "2")
        assert endpoint.seen == [{1: 100}, {1: 80, 2: 20}, {1: 50, 2: 50}, {2: 100}]
    steps = [event["decision"]["step"]["number"] for event in record(laptop)["events"] if event["kind"] == "decided"]
    assert steps == [1, 2]


def test_under_way_when_the_time_is_up_and_gone_on_with_by_the_next_run(laptop):
    with played(laptop) as endpoint:
        endpoint.silent.set()
        said = laptop.loopline("release", "2", "--wait", "1")
        assert "flights version 2: under way" in said
        assert endpoint.seen[-1] == {1: 80, 2: 20}
        endpoint.silent.clear()
        assert "flights version 2: promoted" in laptop.loopline("release", "2")
        assert states(laptop)["canary[20]"] == "succeeded"
    assert [event["kind"] for event in record(laptop)["events"]] == [
        "shifted",
        "decided",
        "shifted",
        "decided",
        "ended",
    ]


def test_two_at_once_and_a_version_that_is_not_champion(laptop):
    with played(laptop) as endpoint:
        endpoint.silent.set()
        process = laptop.start("release", "2")
        try:
            wait_until(lambda: {1: 80, 2: 20} in endpoint.seen, process)
            said = laptop.loopline("release", "2", expect=1)
            assert "error: another process carries out a release of flights here: let it end" in said
        finally:
            process.kill()
            process.communicate()
        said = laptop.loopline("release", "1", expect=1)
        assert "version 1 of flights is not the champion (version 2 is), so it gets no traffic" in said
        assert "canary" not in {name for name, state in states(laptop).items() if state == "succeeded"}


def wait_until(happened, process):
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)

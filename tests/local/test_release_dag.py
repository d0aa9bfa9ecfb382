"""The release DAG as a person calls it: real steps in their own processes, a real registry, an endpoint in files."""

import json
import re
import shutil

import pytest

from components.contract import usecase
from components.registry.champion import find_champion
from pipelines.laptop.home import Home
from pipelines.laptop.serving.endpoint import Endpoint
from tests.local.conftest import Laptop
from tests.local.played_endpoint import PlayedEndpoint
from tests.unit.registry.conftest import Home as Registry

CASE = usecase.load("usecases.flights")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A home with version 1 at the endpoint, and version 2 champion since then."""
    home = Home(tmp_path_factory.mktemp("prepared") / "home")
    registry = Registry(home.root / "registry")
    registry.folder.mkdir(parents=True)
    for version in (1, 2):
        registry.register(version)
        registry.promote(version, "any")
    Endpoint(home, CASE).prepare(1)
    return home


@pytest.fixture
def laptop(prepared, tmp_path):
    shutil.copytree(prepared.root, tmp_path / "home")
    made = Laptop(tmp_path / "home")
    Endpoint(Home(made.home), CASE).prepare(1)  # its paths are those of the copy
    return made


def played(laptop, **settings):
    return PlayedEndpoint(Endpoint(Home(laptop.home), CASE), **settings)


def states(laptop):
    return {step["name"]: step["state"] for step in laptop.runs("release")[-1]["steps"]}


def champion(laptop):
    return find_champion("flights", Home(laptop.home).registry, "champion").version


def record(laptop):
    return json.loads((laptop.home / "serving/flights/release/release.json").read_text())


def test_a_good_version_is_promoted_and_then_serves(laptop):
    with played(laptop) as endpoint:
        said = laptop.loopline("release", "2")
        assert endpoint.seen == [{1: 100}, {1: 80, 2: 20}, {1: 50, 2: 50}, {2: 100}]
        assert re.findall(r"^step (\d), (\d+)%: advance", said, re.MULTILINE) == [("1", "20"), ("2", "50")]
        assert "flights version 2: promoted" in said
        assert states(laptop) == {
            **dict.fromkeys(["find-champion", "fetch-model", "render"], "succeeded"),
            **dict.fromkeys(["canary[20]", "analyse[20]", "canary[50]", "analyse[50]", "finish"], "succeeded"),
            "give-back": "skipped",
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
    assert states(laptop)["give-back"] == "succeeded"
    assert [event["kind"] for event in record(laptop)["events"]] == ["shifted", "decided", "ended"]

"""Who is champion, and since when; what a release that was rolled back gives back."""

import json
from types import SimpleNamespace

import pytest

from loopline.components.contract.release import RECORD_FORMAT
from loopline.components.errors import LooplineError
from loopline.components.registry import component
from loopline.components.registry.champion import find_champion
from loopline.components.registry.rollback import rollback
from tests.unit.registry.conftest import NAME, USECASE


def test_the_champion_by_name_and_by_number(three):
    found = find_champion(NAME, three.registry, "champion")
    assert found.version == 1
    assert find_champion(NAME, three.registry, "1") == found


def test_another_version_gets_no_traffic(three):
    with pytest.raises(LooplineError, match=r"version 2 of flights is not the champion \(version 1 is\), so"):
        find_champion(NAME, three.registry, "2")


def test_no_champion_yet(home, tmp_path):
    for registry in (home.registry, f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(LooplineError, match=r"is not the champion \(there is none yet\)"):
            find_champion(NAME, registry, "champion")


def test_since_is_when_it_became_champion_last(three):
    first = find_champion(NAME, three.registry, "champion").since
    three.promote(2, 1)
    second = find_champion(NAME, three.registry, "2").since
    three.promote(3, 1)  # decided against another champion, so it changes nothing
    assert find_champion(NAME, three.registry, "2").since == second
    rollback(NAME, three.registry)
    assert first < second < find_champion(NAME, three.registry, "1").since


def test_a_rolled_back_version_gives_the_title_back_once(three, tmp_path):
    three.promote(2, 1)
    file = tmp_path / "record.json"
    file.write_text(json.dumps({"format": RECORD_FORMAT, "stable": "1", "canary": "2"}))
    record = SimpleNamespace(path=str(file))
    assert component.restore_champion.python_func(USECASE, three.registry, record) == "1"
    assert component.restore_champion.python_func(USECASE, three.registry, record) == ""
    assert find_champion(NAME, three.registry, "champion").version == 1


def test_what_is_no_record(three, tmp_path):
    file = tmp_path / "record.json"
    file.write_text("null")
    with pytest.raises(LooplineError, match=f"is not in format {RECORD_FORMAT}"):
        component.restore_champion.python_func(USECASE, three.registry, SimpleNamespace(path=str(file)))

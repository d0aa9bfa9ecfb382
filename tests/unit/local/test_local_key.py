"""A key covers code, lock, parameters, content of inputs and locations; differences are explained."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl

from loopline.components.contract import usecase
from loopline.components.contract.step import StepFacts
from loopline.local.key import KeyMaker, differences
from loopline.local.locations import location_identity
from loopline.local.records import KeyParts


@pytest.fixture(scope="module")
def keys():
    return KeyMaker(usecase.load("tests.usecases.temperature"))


def artifact(path):
    return SimpleNamespace(path=str(path), uri=str(path), metadata={})


def test_key_is_of_content_not_of_path(keys, tmp_path):
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    (tmp_path / "c").write_text("other")
    parts = [keys.parts("data", "validate_data", ["x"], {"raw": artifact(tmp_path / name)}) for name in "abc"]
    assert parts[0] == parts[1]
    assert list(differences(parts[0], parts[2])) == ["input raw has other content"]


def test_ingest_depends_on_the_data_behind_the_source(keys):
    assert keys.parts("data", "ingest", ["x"], {"start": "2013-01-01"}).source.startswith("sha256:")
    assert keys.parts("data", "validate_data", ["x"], {}).source == ""


def test_no_fingerprint_no_reuse(tmp_path, monkeypatch):
    folder = tmp_path / "without_fingerprint"
    folder.mkdir()
    origin = usecase.load("tests.usecases.temperature").folder
    (folder / "__init__.py").write_text("")
    (folder / "usecase.yaml").write_text((origin / "usecase.yaml").read_text())
    (folder / "source.py").write_text("def tables(start, end):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert KeyMaker(usecase.load("without_fingerprint")).parts("data", "ingest", ["x"], {}) is None


def test_code_of_stage_contract_and_use_case_count_and_other_stages_do_not(keys):
    code = keys.parts("data", "validate_data", [], {}).code
    assert "components/data/validate.py" in code
    assert "components/contract/dataset.py" in code
    assert "tests/usecases/temperature/usecase.yaml" in code
    assert not any(name.startswith("components/training") for name in code)


def test_a_location_that_was_recreated_is_another(keys, tmp_path):
    registry = f"sqlite:///{tmp_path}/registry/mlflow.db"
    before = keys.parts("registry", "register", [], {"registry": registry})
    assert before == keys.parts("registry", "register", [], {"registry": registry})
    (tmp_path / "registry" / ".identity").unlink()
    after = keys.parts("registry", "register", [], {"registry": registry})
    assert list(differences(before, after)) == ["registry: another location, or recreated or changed since"]


TEXT = st.text(min_size=1, max_size=5)
PARTS = st.builds(
    KeyParts,
    code=st.dictionaries(TEXT, TEXT, max_size=3),
    lock=TEXT,
    interface=TEXT,
    parameters=st.dictionaries(TEXT, TEXT | st.integers(), max_size=3),
    inputs=st.dictionaries(TEXT, TEXT, max_size=3),
    locations=st.dictionaries(TEXT, TEXT, max_size=2),
    source=TEXT,
    environment=st.just("") | TEXT,
)


@given(PARTS, PARTS)
def test_every_difference_is_explained_and_equal_parts_have_none(old, new):
    assert bool(list(differences(old, new))) == (old != new)


def test_the_identity_of_published_predictions_is_where_current_points(tmp_path):
    destination = tmp_path / "predictions"
    (destination / "snapshots" / "one").mkdir(parents=True)
    (destination / "current").symlink_to("snapshots/one")
    before = location_identity(str(destination))
    assert before == location_identity(str(destination))
    (destination / "current").unlink()
    (destination / "current").symlink_to("snapshots/two")
    assert location_identity(str(destination)) != before
    assert location_identity("s3://bucket/predictions") is None


def test_a_container_is_another_environment_and_a_process_is_none():
    case = usecase.load("tests.usecases.temperature")
    process, container, newer = (
        KeyMaker(case, environments).parts("data", "validate_data", [], {})
        for environments in ({}, {"data": "sha256:1"}, {"data": "sha256:2"})
    )
    assert list(differences(process, container)) == ["it last ran outside of a container"]
    assert list(differences(container, process)) == ["it last ran in a container"]
    assert list(differences(container, newer)) == ["what its image has below the code changed"]


def test_what_acts_outside_or_depends_on_the_moment_is_never_reused(keys):
    for stage, task in (
        ("deployment", "render"),
        ("deployment", "canary"),
        ("registry", "find_champion"),
        ("registry", "restore_champion"),
    ):
        assert keys.parts(stage, task, ["x"], {}) is None
    assert keys.parts("registry", "fetch_model", ["x"], {}) is not None


@StepFacts(effects="outside")
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def call_webhook(webhook: str) -> None:
    """Stand for a step that sends a message."""


def test_a_new_step_that_changes_something_outside_is_never_reused(keys):
    assert keys.parts("data", "call_webhook", ["x"], {"webhook": "https://example.org"}) is None
    assert (
        keys.why_not_cacheable("data", "call_webhook")
        == "it changes something outside its outputs, so it runs each time"
    )

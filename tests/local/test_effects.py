"""A step that changes something outside runs each time, and its answer is in the run's record."""

from loopline.local.engine import Engine
from loopline.local.workspace import Workspace
from tests.local.notifying_pipeline import notifying
from tests.local.test_shards import USECASE, Silent


def test_a_step_with_effects_outside_is_never_served_from_the_cache(tmp_path):
    engine, sent = Engine(Workspace(tmp_path / "workspace"), Silent()), tmp_path / "sent"
    for times in (1, 2):
        run = engine.run(notifying, USECASE, {"webhook": str(sent)})
        assert run.state == "succeeded", run.error
        assert sent.read_text() == "note" * times
    assert run.step("write-note").state == "cached"
    notify = run.step("notify")
    assert notify.state == "succeeded"
    assert notify.why == "it changes something outside its outputs, so it runs each time"
    assert (notify.values["Output"], notify.refused, notify.reason) == ("unwanted", True, "Nobody listens.")

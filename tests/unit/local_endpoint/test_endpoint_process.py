"""Processes of an endpoint: none outlives the one that started it, and one that ended says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopline.local.endpoint.process import Process, free_ports, is_free

START = """
import sys, time
from pathlib import Path
from loopline.local.endpoint.process import Process
child = Process.start("child", [sys.executable, "-c", "import time; time.sleep(60)"], {}, Path(sys.argv[1]))
print(child.handle.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to the one that started it")
def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", START, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('out of apples')", "the shop ended with code 1: out of apples"),
        ("import os; os.kill(os.getpid(), 9)", "the shop was killed by SIGKILL"),
    ],
)
def test_a_problem_is_how_the_process_ended(tmp_path: Path, program: str, said: str) -> None:
    process = Process.start("the shop", [sys.executable, "-c", program], {}, tmp_path / "log")
    process.handle.wait(20)
    assert process.problem.startswith(said)
    assert str(tmp_path / "log") in process.problem


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    process = Process.start("deaf", [sys.executable, "-c", deaf], {}, tmp_path / "log")
    while not (tmp_path / "log").read_text():
        time.sleep(0.02)
    process.terminate()
    process.wait(0.2)
    assert "SIGKILL" in process.problem


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)

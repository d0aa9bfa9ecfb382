"""Processes for steps, and for what else needs heavy imports."""

import os
import signal
import subprocess
import sys
import time

SCRIPT = """
import os, time
from loopline.local.processes import StepProcesses
if __name__ == "__main__":
    with StepProcesses().pool() as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_a_pool_ends_with_whoever_made_it(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    maker = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    worker = int(maker.stdout.readline())
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    deadline = time.monotonic() + 30
    while _runs(worker):
        assert time.monotonic() < deadline, "it outlives who made it"
        time.sleep(0.05)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

"""A process of the endpoint: its output goes to a file, and it does not outlive the process that started it."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_LINUX = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass
class Process:
    """A started process.

    Attributes:
        name: for messages.
        log: file of its output.
        handle: of the operating system.
        terminated: whether it was sent SIGTERM.
    """

    name: str
    log: Path
    handle: subprocess.Popen[bytes]
    terminated: bool = False

    @classmethod
    def start(cls, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> "Process":
        """Start a program. On Linux it gets SIGTERM when this process ends, even by SIGKILL."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            handle = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                preexec_fn=_end_with_parent if _LINUX else None,  # noqa: PLW1509 - this process has a single thread when it starts others
                start_new_session=True,  # Ctrl-C reaches this process only, which ends the others in order
            )
        return cls(name, log, handle)

    @property
    def problem(self) -> str:
        """How it ended and the last line of its output; empty while it runs."""
        code = self.handle.poll()
        if code is None:
            return ""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        output = f": {line}" if (line := _last_line(self.log)) else ""
        return f"{self.name} {how}{output} (log: {self.log})"

    def terminate(self) -> None:
        """Send SIGTERM, once: a second one would make it exit at once."""
        if not self.terminated and self.handle.poll() is None:
            self.handle.terminate()
        self.terminated = True

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; kill it after so many seconds."""
        try:
            self.handle.wait(seconds)
        except subprocess.TimeoutExpired:
            self.handle.kill()
            self.handle.wait()


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind((LOOPBACK, 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def is_free(port: int) -> bool:
    """Whether nothing listens on a port on loopback."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _end_with_parent() -> None:
    if _LINUX:
        _LINUX.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_line(file: Path) -> str:
    text = file.read_bytes()[-4000:].decode(errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""

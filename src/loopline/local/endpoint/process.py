"""A process of the endpoint: started with its output in a file, and never left behind by whoever started it."""

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
    """One that was started.

    Attributes:
        name: for people.
        log: file of what it says.
        handle: of the operating system.
        asked: whether it was asked to end.
    """

    name: str
    log: Path
    handle: subprocess.Popen[bytes]
    asked: bool = False

    @classmethod
    def start(cls, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> "Process":
        """Start a program. On Linux it is told to end when this process does, even by kill -9."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            handle = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                preexec_fn=_tie if _LINUX else None,  # noqa: PLW1509 - this process has one thread when it starts others
                start_new_session=True,  # Ctrl-C goes to us alone: we end the others in order
            )
        return cls(name, log, handle)

    @property
    def problem(self) -> str:
        """That it has ended, how, and what it said last; empty while it runs."""
        code = self.handle.poll()
        if code is None:
            return ""
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = f": {line}" if (line := _last_line(self.log)) else ""
        return f"{self.name} {how}{said} (all of it in {self.log})"

    def end(self) -> None:
        """Ask it to end, once: a second time would mean at once."""
        if not self.asked and self.handle.poll() is None:
            self.handle.terminate()
        self.asked = True

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; after so many seconds end it the hard way."""
        try:
            self.handle.wait(seconds)
        except subprocess.TimeoutExpired:
            self.handle.kill()
            self.handle.wait()


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind((LOOPBACK, 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def is_free(port: int) -> bool:
    """Whether nothing listens at a port on loopback."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _tie() -> None:
    if _LINUX:
        _LINUX.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_line(file: Path) -> str:
    text = file.read_bytes()[-4000:].decode(errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""

"""Run the programs that target git needs: git, and kubectl, which builds the overlay."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from loopline.components.errors import LooplineError

SECONDS = 120
# Credentials of a pod for https. Git gets them from a credential helper, so they are never in an argument.
USERNAME, TOKEN = "LOOPLINE_GIT_USERNAME", "LOOPLINE_GIT_TOKEN"
_HELPER = f'!f() {{ echo "username=${USERNAME}"; echo "password=${TOKEN}"; }}; f'


def run(command: list[str], folder: Path, text: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a program in a folder and return its output.

    Args:
        command: program and arguments.
        folder: of a clone.
        text: standard input.
        environment: further variables for the program.

    Raises:
        LooplineError: the program does not exist, fails, or takes too long.
    """
    if not folder.is_dir():
        raise LooplineError(f"{folder} is no folder: name a clone of the repository with the overlays")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=text,
            env={**os.environ, **_credentials(), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise LooplineError(f"there is no {command[0]} on this machine; install it") from error
    except subprocess.TimeoutExpired as error:
        raise LooplineError(f"`{' '.join(command[:3])}` in {folder} did not answer in {SECONDS} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise LooplineError(f"`{' '.join(command[:2])}` in {folder} failed: {'; '.join(said)[:400]}")
    return done.stdout


def _credentials() -> dict[str, str]:
    if not os.environ.get(TOKEN):
        return {}
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": _HELPER}

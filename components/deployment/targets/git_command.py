"""Programs that a release by Git calls: git, and what builds an overlay."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from loopline.components.errors import LooplineError

SECONDS = 120
# What a pod pushes with, over https; Git asks a helper for it, so that it is in no argument.
USERNAME, TOKEN = "LOOPLINE_GIT_USERNAME", "LOOPLINE_GIT_TOKEN"
_HELPER = f'!f() {{ echo "username=${USERNAME}"; echo "password=${TOKEN}"; }}; f'


def run(command: list[str], folder: Path, text: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What a program says that is run in a folder.

    Args:
        command: program and arguments.
        folder: of a clone.
        text: what it is given to read.
        environment: variables beyond those of this process.

    Raises:
        LooplineError: it is not there, fails, or takes too long.
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

"""Talking to a cluster through kubectl, and asking until something is so."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.manifests.render import kubectl

T = TypeVar("T")
MANAGER = "loopline-tests"


class KubectlError(Exception):
    """kubectl refused; its own words."""


def run(*arguments: str, given: str | None = None, timeout: float = 120) -> str:
    """What kubectl answers.

    Raises:
        KubectlError: it failed.
    """
    program = kubectl()
    assert program
    done = subprocess.run(
        [program, *arguments], input=given, capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode:
        raise KubectlError(f"kubectl {' '.join(arguments[:4])}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def apply(objects: list[dict[str, Any]], timeout: float = 300) -> None:
    """Apply objects on the server's side; it says who owns which field."""
    text = yaml.safe_dump_all(objects)
    run(
        "apply",
        "--server-side",
        "--force-conflicts",
        f"--field-manager={MANAGER}",
        "-f",
        "-",
        given=text,
        timeout=timeout,
    )


def get(kind: str, name: str, namespace: str) -> dict[str, Any] | None:
    """An object; None if it does not exist."""
    text = run("get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
    return json.loads(text) if text.strip() else None


def find(kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """Objects of a kind."""
    text = run("get", kind, "--namespace", namespace, "--selector", selector, "--output", "json")
    return list(json.loads(text)["items"])


def until(said: str, ask: Callable[[], T | None], patience: float, every: float = 3) -> T:
    """The first answer that is something.

    Raises:
        AssertionError: there was none in time.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(every)
    raise AssertionError(f"not within {patience:.0f} s: {said}")


def why_not() -> str | None:
    """Why there is no cluster to test on; None if there is one."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set: name a cluster to test on, or make one with `make cluster-up`"
    if not Path(os.environ["KUBECONFIG"].split(os.pathsep)[0]).is_file():
        return f"KUBECONFIG names {os.environ['KUBECONFIG']}, which is not there"
    if kubectl() is None:
        return "there is no kubectl; `make setup` installs one from PyPI"
    try:
        run("version", "--output", "json", "--request-timeout", "10s", timeout=30)
    except (KubectlError, subprocess.TimeoutExpired) as error:
        return f"the cluster of KUBECONFIG does not answer ({str(error).splitlines()[0][:200]})"
    return None

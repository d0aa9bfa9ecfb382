"""What an overlay gives to Kubernetes: kustomize's output as objects, built from tracked files only."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
OVERLAYS = ("local", "staging", "prod")


def kubectl() -> str | None:
    """The kubectl on the PATH, else the one from PyPI beside this Python."""
    return shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.executable).parent))


def clean_copy(target: Path) -> Path:
    """The manifests as a clone would have them: files that Git tracks, and nothing that happens to lie about."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "manifests", "kustomize"], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, target / name)
    return target


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, in order.

    Raises:
        AssertionError: kustomize refuses it; the message is kustomize's.
    """
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if item]


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of a kind and name."""
    [found] = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found

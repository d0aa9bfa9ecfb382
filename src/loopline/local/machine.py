"""Checks of this machine: what pipelines, images and manifests need on it."""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from loopline import project
from loopline.checks import CheckResult
from loopline.components.errors import LooplineError

PYTHON = (3, 11)
JAVA = 17


def run_checks() -> Iterator[CheckResult]:
    """Check this machine. A program that only some commands need may be missing: its check is skipped."""
    yield _python()
    yield _lock()
    yield _engine()
    yield _images()
    yield _java()
    yield _kubectl()


def _python() -> CheckResult:
    if sys.version_info[:2] != PYTHON:
        return CheckResult(
            "Python",
            "failed",
            f"this is Python {platform.python_version()} and Loopline needs 3.11; run `make setup` with it",
        )
    return CheckResult("Python", "ok", platform.python_version())


def _lock() -> CheckResult:
    path = project.path(project.LOCK)
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    other = [
        f"{name} {there} instead of {version}"
        for name, version in locked.items()
        if (there := _installed(name)) and there.partition("+")[0] != version
    ]
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        return CheckResult("lock", "failed", f"installed are {', '.join(other[:3])}{more}; run `make setup`")
    return CheckResult("lock", "ok", f"all installed packages have the versions of {path.name}")


def _engine() -> CheckResult:
    from loopline.images.builder import Builder

    try:
        return CheckResult("container engine", "ok", Builder.find().program)
    except LooplineError as error:
        return CheckResult("container engine", "skipped", f"images cannot be built or run here: {error}")


def _images() -> CheckResult:
    from loopline.images import catalogue
    from loopline.images.builder import Builder

    try:
        builder = Builder.find()
    except LooplineError:
        return CheckResult("images", "skipped", "there is no container engine to look them up")
    published = [catalogue.reference(image) for image in catalogue.chosen([]) if image.published]
    missing = [reference for reference in published if not builder.has(reference)]
    if missing:
        return CheckResult(
            "images",
            "skipped",
            f"{len(missing)} of {len(published)} images of this code are not built ({missing[0]} ...), so its steps "
            "cannot run in containers or on a cluster; run `make images`",
        )
    return CheckResult("images", "ok", f"all {len(published)} images of this code are built")


def _java() -> CheckResult:
    use = "only Spark on this machine needs it"
    if not shutil.which("java"):
        return CheckResult("Java", "skipped", f"not installed; {use} (make test-spark): Java {JAVA} or newer")
    printed = _first_line("java", "-version")
    found = re.search(r'version "(\d+)', printed)
    if not found or int(found[1]) < JAVA:
        return CheckResult(
            "Java", "failed", f"{printed or 'java prints no version'}: Spark needs Java {JAVA} or newer, and {use}"
        )
    return CheckResult("Java", "ok", printed)


def _kubectl() -> CheckResult:
    beside = shutil.which("kubectl", path=str(project.ROOT / ".venv" / "bin"))
    program = shutil.which("kubectl") or beside
    if not program:
        return CheckResult("kubectl", "skipped", "not installed, so overlays cannot be built or applied from here")
    return CheckResult("kubectl", "ok", _first_line(program, "version", "--client") or program)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _first_line(*command: str) -> str:
    """The first line that a program prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ((done.stdout or done.stderr).strip().splitlines() or [""])[0]

"""The wheel, installed for a project whose packages have the names of ours: a loop, an endpoint, a release."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
import zipfile
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml

from loopline import project
from loopline.components.contract import usecase
from tests.local.longer_replay import POLICY

PACKAGE = "usecases.mine"
# The names that were top-level packages of this distribution once, and what a user's project has anyway.
CLASHING = ("pipelines", "components", "images", "cluster", "local", "report")
WAIT = 600


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    command = [uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", folder, project.ROOT]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


class Stranger:
    """Somebody's own project, in which the wheel is installed."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder, program

    @property
    def environment(self):
        return {"PATH": f"{self.program.parent}:/usr/bin:/bin", "HOME": str(self.folder), "COLUMNS": "160"}

    def start(self, *arguments):
        return subprocess.Popen(
            [str(self.program), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def loopline(self, *arguments):
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=WAIT)
        assert process.returncode == 0, said
        return said


@pytest.fixture(scope="session")
def stranger(wheel, tmp_path_factory):
    """An environment with the wheel and the packages of the lock, and a project with names that clash."""
    folder = tmp_path_factory.mktemp("stranger")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    site = folder / "env" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The packages are those of this environment; its link to this checkout is not followed from here.
    borrowed = {str(Path(distribution.locate_file("")).resolve()) for distribution in distributions()}
    (site / "borrowed.pth").write_text("\n".join(sorted(b for b in borrowed if b.endswith("site-packages"))) + "\n")
    program = folder / "env" / "bin" / "loopline"
    program.write_text(
        f"#!{folder}/env/bin/python\nfrom loopline.cli.app import main\n\nif __name__ == '__main__':\n    main()\n"
    )
    program.chmod(0o755)
    mine = folder / "project"
    for name in (*CLASHING, "tests"):
        (mine / name).mkdir(parents=True)
        (mine / name / "__init__.py").write_text('raise RuntimeError("a package of the user was imported")\n')
    (mine / "usecases").mkdir()
    (mine / "usecases" / "__init__.py").touch()
    made = mine / "usecases" / "mine"
    shutil.copytree(
        usecase.load("tests.usecases.temperature").folder, made, ignore=shutil.ignore_patterns("__pycache__")
    )
    spec = yaml.safe_load((made / "usecase.yaml").read_text())
    spec |= {"name": "mine", "release": POLICY}
    spec["replay"]["compare"] = [spec["replay"]["compare"][0], "2013-09-01"]
    (made / "usecase.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return Stranger(mine, program)


def test_the_wheel_holds_one_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} == {"loopline"}
    for needed in (
        "components/data/ingest.py",
        "components/data/Dockerfile",
        "pipelines/training.py",
        "constraints.txt",
    ):
        assert f"loopline/{needed}" in names
    assert "loopline/usecases/flights/usecase.yaml" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_package_is_the_installed_one(stranger):
    code = "import loopline, loopline.components, loopline.usecases; print(loopline.components.__file__)"
    python = stranger.program.with_name("python")
    said = subprocess.run(
        [python, "-c", code], cwd=stranger.folder, env=stranger.environment, check=True, capture_output=True
    )
    assert said.stdout.decode().startswith(str(stranger.program.parents[1]))


def test_a_use_case_of_that_folder_goes_through_loop_serve_and_release(stranger):
    said = stranger.loopline("loop", "--usecase", PACKAGE, "--no-release")
    assert (stranger.folder / ".loopline" / "report" / "index.html").is_file(), said
    promoted = "v2" in next(line for line in said.splitlines() if "champion" in line and re.match(r"\s*v\d", line))
    assert promoted, said
    endpoint = stranger.start("serve", "--usecase", PACKAGE, "--version", "1", "--port", "0", "--no-triton")
    try:
        url = address(endpoint)
        columns = [column["name"] for column in json.load(urllib.request.urlopen(f"{url}/v2/models/mine"))["inputs"]]
        with Asking(url, columns) as asking:
            released = stranger.loopline("release", "champion", "--usecase", PACKAGE)
        assert "version 2: promoted" in released, released
        assert asking.failed == 0
        assert set(asking.versions) == {"1", "2"}
    finally:
        stranger.loopline("serve", "--usecase", PACKAGE, "--stop")
        endpoint.communicate(timeout=WAIT)


def address(endpoint):
    for line in endpoint.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError("the endpoint ended before it answered")


class Asking:
    """Requests about past events, one after the other, while the block lasts."""

    def __init__(self, url, columns):
        self.failed, self.versions = 0, {}
        self._url, self._end = url, threading.Event()
        case = usecase.load("tests.usecases.temperature")
        start = datetime(2013, 5, 21, tzinfo=UTC)
        rows = case.source.tables(start, datetime(2013, 9, 1, tzinfo=UTC))["readings"].sort_values("read_at")
        self._rows = json.loads(rows[columns].to_json(orient="records", date_format="iso"))
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _ask(self):
        for row in self._rows:
            if self._end.is_set():
                return
            body = json.dumps({"instances": [row]}).encode()
            request = urllib.request.Request(
                f"{self._url}/v1/models/mine:predict", body, {"Content-Type": "application/json"}
            )
            try:
                version = json.load(urllib.request.urlopen(request, timeout=10))["model_version"]
                self.versions[version] = self.versions.get(version, 0) + 1
            except OSError:
                self.failed += 1
            time.sleep(0.005)

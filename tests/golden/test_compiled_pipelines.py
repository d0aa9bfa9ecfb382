"""The compiled pipelines are committed: a changed interface, image or order is a diff. `make golden` rewrites them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import compiler

GOLDEN = Path(__file__).parent / "pipelines"
TAGS = dict.fromkeys(compiler.STAGES, "golden")


@pytest.mark.parametrize("name", compiler.PIPELINES)
def test_compiles_to_the_committed_ir(name, tmp_path, request):
    compiler.compile_to(compiler.load(name), tmp_path / "new.yaml", TAGS)
    new = (tmp_path / "new.yaml").read_text()
    golden = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--rewrite"):
        golden.write_text(new)
    assert golden.exists(), f"{golden} is missing: run `make golden`"
    assert new == golden.read_text(), f"{name} compiles to something else: run `make golden` and look at the difference"


def test_every_step_runs_our_image_and_installs_nothing():
    for name in compiler.PIPELINES:
        ir = next(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()))
        for executor in ir["deploymentSpec"]["executors"].values():
            container = executor["container"]
            stage = container["image"].removeprefix("loopline-").removesuffix(":golden")
            assert stage in compiler.STAGES
            assert "pip install" not in " ".join(container["command"])


def test_same_bytes_under_another_hash_seed(tmp_path):
    script = (
        "import sys; from pathlib import Path; from pipelines import compiler\n"
        "compiler.compile_to(compiler.load('retrain'), Path(sys.argv[1]), dict.fromkeys(compiler.STAGES, 'golden'))"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / f"{seed}.yaml")], check=True, env={"PYTHONHASHSEED": seed}
        )
    assert (tmp_path / "1.yaml").read_bytes() == (tmp_path / "2.yaml").read_bytes()

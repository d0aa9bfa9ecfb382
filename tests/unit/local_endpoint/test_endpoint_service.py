"""The processes of a laptop come from the files that a cluster gets."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_encoding

from loopline.components.contract.signature import Signature
from loopline.components.deployment.kserve import render
from loopline.components.deployment.kserve.inference_service import VERSION
from loopline.components.deployment.targets.served_version import ServedVersion, served_versions
from loopline.components.errors import LooplineError
from loopline.components.training import triton
from loopline.local.endpoint import service
from loopline.project import ROOT as PROJECT

STABLE = ServedVersion(3, Path("/models/v3/repository"), 75)
CANARY = ServedVersion(4, Path("/models/v4/repository"), 25)


def made(canary: ServedVersion | None = None) -> dict[str, Any]:
    """The InferenceService of an endpoint here, with these versions."""
    found = service.inference_service("flights", str(STABLE.number), STABLE.repository.as_uri())
    if canary is None:
        return found
    return render.with_canary(found, str(canary.number), canary.percent, canary.repository.as_uri())


@pytest.mark.parametrize("canary", [None, CANARY])
def test_what_is_wanted_is_read_back(canary: ServedVersion | None) -> None:
    stable = STABLE if canary else ServedVersion(3, STABLE.repository, 100)
    assert served_versions(yaml.safe_load(yaml.safe_dump(made(canary)))) == (stable, canary)


def test_a_canary_is_the_stable_predictor_but_for_what_a_release_changes() -> None:
    spec = made(CANARY)["spec"]
    [canary] = spec["canary"]
    stable, tried = spec["predictor"], canary["predictor"]
    assert canary["trafficPercent"] == 25
    assert (tried["name"], tried["labels"][VERSION]) == ("v4", "4")
    assert tried["model"]["storageUri"] == "file:///models/v4/repository"
    same = {"name", "labels", "model", "maxReplicas", "autoScaling"}
    assert {key: value for key, value in tried.items() if key not in same} == {
        key: value for key, value in stable.items() if key not in same
    }
    assert "maxReplicas" not in tried
    assert "autoScaling" not in tried


def test_another_use_case_is_another_name() -> None:
    assert service.inference_service("deliveries", "3", "file:///models")["metadata"]["name"] == "deliveries"


@pytest.mark.parametrize("runtime", service.RUNTIMES)
def test_both_containers_are_found(runtime: str) -> None:
    transformer, predictor = service.containers(runtime)
    assert transformer["command"] == ["python", "-m", "loopline.components.serving.service"]
    assert predictor["name"] == "kserve-container"


def test_a_command_is_the_containers_with_what_is_other_here() -> None:
    container = {"args": ["--model_name={{.Name}}", "--port=8080", "--kept=1", "--bare"]}
    made = service.command(container, ["program"], "flights", {"--port": "81", "--added": "x", "--flag": ""})
    assert made == ["program", "--model_name=flights", "--port=81", "--kept=1", "--bare", "--added=x", "--flag"]


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match="cannot be read"):
        service.read(tmp_path / "none.yaml")


def test_triton_runs_the_onnx_runtime_of_the_lock() -> None:
    wanted = re.search(
        r"^onnxruntime==(\S+)", (PROJECT / "src/loopline/local/endpoint/triton.txt").read_text(), re.MULTILINE
    )
    locked = re.search(r"^onnxruntime==(\S+)", (PROJECT / "constraints.txt").read_text(), re.MULTILINE)
    assert wanted
    assert locked
    assert wanted[1] == locked[1]


def test_every_package_of_tritons_environment_is_pinned_by_hash() -> None:
    lines = (PROJECT / "src/loopline/local/endpoint/triton.txt").read_text().splitlines()
    names = [line for line in lines if "==" in line]
    assert len(names) == 3
    assert all("--hash=sha256:" in lines[lines.index(line) + 1] for line in names)


def test_config_warms_each_input_up_and_batches_without_waiting() -> None:
    signature = Signature.from_json(
        {
            "inputs": [{"name": "größe", "kind": "number"}, {"name": 'a "kind"', "kind": "category"}],
            "output": "probability",
        }
    )
    config = triton.config("flights", signature)
    assert re.findall(r'inputs \{ key: "(\w+)" value \{ data_type: (\w+)', config) == [
        ("numbers", "TYPE_FP32"),
        ("categories", "TYPE_STRING"),
    ]
    escaped = re.search(r'key: "columns" value \{ string_value: "(.*)" \} \}', config)
    assert escaped
    assert json.loads(text_encoding.CUnescape(escaped[1])) == signature.columns
    assert "dynamic_batching { }" in config
    assert "kind: KIND_AUTO count: 2" in config
    assert "latest { num_versions: 1 }" in config

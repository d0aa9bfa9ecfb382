"""The model artifact: sealed once, and every later change is noticed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loopline.components.contract import model
from loopline.components.contract.examples import Feature
from loopline.components.contract.model import Model, seal
from loopline.components.contract.signature import Signature
from loopline.components.errors import CorruptArtifactError, LooplineError

SIGNATURE = Signature((Feature("carrier", "category"), Feature("distance", "number")), "probability")


def fill(folder: Path) -> Path:
    for name, content in {
        "weights.safetensors": "w",
        "repository/shop/config.pbtxt": "c",
        "repository/shop/1/model.onnx": "m",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def sealed(tmp_path: Path) -> Model:
    return seal(fill(tmp_path / "model"), "shop", SIGNATURE, {"examples": "sha256:0", "seed": 7})


def test_what_is_sealed_opens(sealed: Model) -> None:
    opened = Model.open(sealed.path)
    assert opened == sealed
    assert opened.signature == SIGNATURE
    assert opened.onnx.read_text() == "m"
    assert sorted(opened.files) == [
        "repository/shop/1/model.onnx",
        "repository/shop/config.pbtxt",
        "weights.safetensors",
    ]


def test_the_digest_is_of_content_and_not_of_the_place(tmp_path: Path, sealed: Model) -> None:
    facts = {"seed": 7, "examples": "sha256:0"}
    assert seal(fill(tmp_path / "copy"), "shop", SIGNATURE, facts).digest == sealed.digest
    assert seal(fill(tmp_path / "other"), "shop", SIGNATURE, facts | {"seed": 8}).digest != sealed.digest
    assert seal(fill(tmp_path / "again"), "shop", SIGNATURE, facts).digest == sealed.digest


def test_who_made_it_is_kept_but_is_no_content(tmp_path: Path, sealed: Model) -> None:
    made = seal(fill(tmp_path / "rerun"), "shop", SIGNATURE, dict(sealed.facts), {"run": "17"})
    assert made.digest == sealed.digest
    assert Model.open(made.path).provenance == {"run": "17"}


def change(path: Path) -> None:
    path.write_text(path.read_text() + "!")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: change(folder / "weights.safetensors"), "weights.safetensors is not the file"),
        (lambda folder: change(folder / "repository/shop/1/model.onnx"), "model.onnx is not the file"),
        (lambda folder: (folder / "repository/shop/config.pbtxt").unlink(), "config.pbtxt is not the file"),
        (lambda folder: (folder / "repository/shop/2.onnx").touch(), "2.onnx is not the file"),
    ],
)
def test_a_changed_lost_or_added_file_is_detected(sealed: Model, harm: Callable[[Path], None], says: str) -> None:
    harm(sealed.path)
    with pytest.raises(CorruptArtifactError, match=says):
        Model.open(sealed.path)
    Model.open(sealed.path, verify=False)


@pytest.mark.parametrize("part", ["name", "facts", "signature"])
def test_an_edited_manifest_is_detected(sealed: Model, part: str) -> None:
    manifest = json.loads((sealed.path / model.MANIFEST).read_text())
    manifest[part] = {"name": "shop2", "facts": {"seed": 8}, "signature": {"inputs": [], "output": "p"}}[part]
    (sealed.path / model.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifactError, match=r"model\.json was edited after packaging"):
        Model.open(sealed.path)


def test_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match=r"there is no artifact at .*: model\.json is missing"):
        Model.open(tmp_path)


def test_a_manifest_that_has_lost_a_part(sealed: Model) -> None:
    (sealed.path / model.MANIFEST).write_text(json.dumps({"format": model.FORMAT, "name": "shop"}))
    with pytest.raises(CorruptArtifactError, match="lacks digest, facts, files, provenance, signature"):
        Model.open(sealed.path)

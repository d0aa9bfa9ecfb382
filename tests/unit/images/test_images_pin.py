"""Pinning an overlay: one edit of one file, all or nothing, and the suffix follows from the images."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.components.io import digest
from loopline.images import catalogue, pin, push

TEXT = """\
# A comment that stays.
kind: Kustomization
resources: [../../../manifests]
images:
  - {name: loopline-data, newTag: 0.1.0}
  - {name: loopline-training, newTag: 0.1.0}
transformers:
  - |-
    kind: PrefixSuffixTransformer
    suffix: -00000000
    fieldSpecs: [{kind: PipelineVersion, path: metadata/name}]
"""


class Shelf:
    """A builder that has the images it is given."""

    def __init__(self, *references):
        self.references = set(references)
        self.pushed = []

    def has(self, reference):
        return reference in self.references

    def push(self, reference, target):
        self.pushed.append(target)
        return digest.of_bytes(target.encode())


@pytest.fixture
def case():
    return usecase.load("loopline.usecases.flights")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "kustomization.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def pushed(tmp_path, monkeypatch):
    path = tmp_path / "pushed.json"
    monkeypatch.setattr(push, "PUSHED", path)
    return path


def everything():
    return Shelf(*(catalogue.reference(image) for image in catalogue.IMAGES.values()))


def test_by_tag_the_images_of_this_code_are_named(file, case):
    pin.pin(file, "", everything(), case)
    block = yaml.safe_load(file.read_text())["images"]
    assert [entry["name"] for entry in block] == ["loopline-data", "loopline-training"]
    for entry in block:
        assert f"{entry['name']}:{entry['newTag']}" in everything().references
    assert f"suffix: -{digest.of_value(block).removeprefix('sha256:')[:8]}\n" in file.read_text()


def test_nothing_but_images_and_suffix_changes(file, case):
    pin.pin(file, "", everything(), case)
    before, after = TEXT.splitlines(), file.read_text().splitlines()
    assert len(before) == len(after)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split()[0] for line in changed] == ["-", "-", "suffix:"]


def test_pinning_twice_is_pinning_once(file, case):
    pin.pin(file, "", everything(), case)
    once = file.read_text()
    pin.pin(file, "", everything(), case)
    assert file.read_text() == once


def test_by_digest_what_was_pushed_is_named(file, case, pushed):
    shelf = everything()
    push.push_images(shelf, "ghcr.io/acme/", case, lambda _: None)
    assert len(shelf.pushed) == len(catalogue.PUBLISHED)
    entries = pin.pin(file, "ghcr.io/acme", None, case)
    assert [entry["newName"] for entry in entries] == ["ghcr.io/acme/loopline-data", "ghcr.io/acme/loopline-training"]
    assert (
        entries[0]["digest"]
        == json.loads(pushed.read_text())["ghcr.io/acme"][catalogue.reference(catalogue.IMAGES["data"])]
    )
    assert yaml.safe_load(file.read_text())["images"] == entries


def test_an_image_that_was_not_pushed_leaves_the_file_alone(file, case, pushed):
    with pytest.raises(LooplineError, match=r"was not pushed to ghcr.io/acme; run `loopline push ghcr.io/acme` first"):
        pin.pin(file, "ghcr.io/acme", None, case)
    assert file.read_text() == TEXT


def test_an_image_that_is_not_built_leaves_the_file_alone(file, case):
    shelf = everything()
    shelf.references.discard(catalogue.reference(catalogue.IMAGES["training"]))
    with pytest.raises(LooplineError, match=r"loopline-training:\w+ is not built; run `loopline images` first"):
        pin.pin(file, "", shelf, case)
    assert file.read_text() == TEXT


def test_nothing_is_pushed_while_something_is_not_built(case, pushed):
    shelf = everything()
    shelf.references.discard(catalogue.reference(catalogue.IMAGES["data"]))
    with pytest.raises(LooplineError, match="not built as the code is now: data; run `make images` first"):
        push.push_images(shelf, "ghcr.io/acme", case, lambda _: None)
    assert shelf.pushed == []


def test_images_on_request_are_pushed_if_they_are_there(case, pushed):
    shelf = everything()
    shelf.references.discard(catalogue.reference(catalogue.IMAGES["training-cuda"]))
    push.push_images(shelf, "ghcr.io/acme", case, lambda _: None)
    assert not any("cuda" in target for target in shelf.pushed)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("    suffix: -00000000\n", ""),
        TEXT.replace("images:", "imagez:"),
        TEXT + TEXT,
    ],
)
def test_a_file_of_another_layout_is_left_alone(file, case, text):
    file.write_text(text)
    with pytest.raises(LooplineError, match="needs one block `images:` and one line `suffix: -`"):
        pin.pin(file, "", everything(), case)
    assert file.read_text() == text


def test_an_image_of_somebody_else_is_no_business_of_ours(file, case):
    file.write_text(TEXT.replace("loopline-data", "nginx"))
    with pytest.raises(LooplineError, match="images that this project does not build: nginx"):
        pin.pin(file, "", everything(), case)


def test_an_overlay_that_is_none_is_answered_with_those_that_are():
    with pytest.raises(LooplineError, match=r"there is no overlay 'production'.*local, prod, staging"):
        pin.overlay_file("production")


@pytest.mark.parametrize("overlay", ["local", "staging", "prod"])
def test_every_overlay_can_be_pinned(overlay, tmp_path, case):
    file = tmp_path / "kustomization.yaml"
    file.write_text(pin.overlay_file(overlay).read_text())
    pin.pin(file, "", everything(), case)
    assert all(len(entry["newTag"]) == 16 for entry in yaml.safe_load(file.read_text())["images"])


HEX = st.text("0123456789abcdef", min_size=16, max_size=16) | st.from_regex(r"[0-9]{10}e[0-9]{5}", fullmatch=True)


@given(HEX, HEX)
def test_a_tag_is_a_string_whatever_its_digits_are(first, second):
    entries = [{"name": "loopline-data", "newTag": first}, {"name": "loopline-training", "newTag": second}]
    text = pin.with_images(TEXT, entries)
    assert yaml.safe_load(text)["images"] == entries
    if first.replace("e", "").isdigit():  # kustomize reads YAML 1.2, where 12e3 is a number
        assert f'newTag: "{first}"' in text
    assert pin.suffix(entries) in text

"""What the manifests are written for is pinned, said once, and all that they use."""

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.manifests import schemas
from tests.manifests.findings import documented_secrets
from tests.manifests.render import OVERLAYS, PROJECT

UPSTREAM = PROJECT / "manifests/upstream"
VERSIONS = yaml.safe_load((UPSTREAM / "versions.yaml").read_text())
RELEASES = {release["name"]: release for release in VERSIONS["releases"]}
# Address of a file at a moving branch.
MOVING = re.compile(r"/(master|main|latest|stable|HEAD)/|ref=(master|main)")
INSTALLED = [release for release in RELEASES.values() if "brought_by" not in release]


@pytest.mark.parametrize("release", INSTALLED, ids=lambda release: release["name"])
def test_one_command_installs_exactly_the_pinned_version(release: dict[str, Any]) -> None:
    words = shlex.split(release["install"])
    assert words[0] in ("kubectl", "helm", "istioctl")
    assert not re.search(r"[|;&\n]", release["install"].replace("?ref", ""))
    assert release["version"].removeprefix("v") in release["install"]
    assert not MOVING.search(release["install"])


@pytest.mark.parametrize("release", RELEASES.values(), ids=lambda release: release["name"])
def test_schemas_come_from_the_pinned_version(release: dict[str, Any]) -> None:
    assert bool(release["groups"]) == bool(release["crds"])
    for url in release["crds"]:
        assert url.startswith("https://")
        assert release["version"].removeprefix("v") in url
        assert not MOVING.search(url)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_custom_resource_belongs_to_a_release(overlay: Callable[[str], list[dict[str, Any]]], name: str) -> None:
    groups = {item["apiVersion"].rpartition("/")[0] for item in overlay(name) if not schemas.is_core(item)}
    assert groups <= {group for release in RELEASES.values() for group in release["groups"]}


def test_what_is_brought_is_brought_by_something() -> None:
    assert {release["brought_by"] for release in RELEASES.values() if "brought_by" in release} <= set(RELEASES)


def test_server_and_client_are_one_version() -> None:
    """KFP and Feast are a library here and a server there."""
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE))
    assert RELEASES["Kubeflow Pipelines"]["version"] == lock["kfp"]
    assert RELEASES["Feast operator"]["version"] == f"v{lock['feast']}"


def test_the_table_says_the_same() -> None:
    table = dict(
        re.findall(r"^\| ([A-Z]?[\w -]+) \| (v?[\d.]+) \|", (UPSTREAM / "README.md").read_text(), re.MULTILINE)
    )
    pinned = {name: release["version"] for name, release in RELEASES.items()}
    assert table == {"Kubernetes": VERSIONS["kubernetes"]["minimum"], **pinned}


def test_the_node_image_is_pinned_and_new_enough() -> None:
    image = VERSIONS["kubernetes"]["node"]
    [(major, minor)] = re.findall(r"^kindest/node:v(\d+)\.(\d+)\.\d+@sha256:[0-9a-f]{64}$", image)
    assert [int(major), int(minor)] >= [int(part) for part in VERSIONS["kubernetes"]["minimum"].split(".")]


def test_the_secrets_that_a_cluster_must_have_are_documented() -> None:
    text = (PROJECT / "docs/cluster.md").read_text()
    rows = re.findall(r"^ *\| `(loopline-[a-z0-9-]+)` \| (`[A-Za-z0-9_`, ]+`) \|", text, re.MULTILINE)
    assert {name: set(re.findall(r"\w+", keys)) for name, keys in rows} == documented_secrets()

"""The endpoint of every overlay through a release, in both of KServe's modes, against KServe's own schema."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopline.components.deployment.kserve import inference_service, render
from tests.manifests.render import OVERLAYS, named
from tests.manifests.render import render as kustomized
from tests.manifests.schemas import problems

MODES = ("standard", "knative")


@pytest.fixture(
    scope="module",
    params=itertools.product(OVERLAYS, MODES),
    ids="-".join,
)
def service(request: pytest.FixtureRequest, clean: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The endpoint of an overlay, in either mode: a line of its kustomization.yaml, and a name that Knative has not."""
    overlay, mode = request.param
    copied = shutil.copytree(clean, tmp_path_factory.mktemp(overlay) / "copy")
    folder = copied / "kustomize/overlays" / overlay
    if mode == "knative":
        file = folder / "kustomization.yaml"
        file.write_text(file.read_text().replace("canary-standard", "canary-knative"))
        endpoint = yaml.safe_load((folder / "flights/endpoint.yaml").read_text())
        del endpoint["spec"]["predictor"]["name"]
        (folder / "flights/endpoint.yaml").write_text(yaml.safe_dump(endpoint))
    return named(kustomized(folder), "InferenceService", "flights")


def test_every_moment_of_a_release_is_valid(service: dict[str, Any], crd_schemas: Path) -> None:
    canary = render.with_canary(service, "2", 5)
    moments = [
        service,
        canary,
        render.with_canary(canary, "2", 50),
        render.promoted(canary),
        render.without_canary(canary),
    ]
    for moment in moments:
        assert problems(moment) == []
        inference_service.check(moment)
    assert inference_service.traffic_split(moments[1]) == inference_service.TrafficSplit("1", "2", 5)
    assert inference_service.traffic_split(moments[3]) == inference_service.TrafficSplit("2")


def test_no_pod_restarts_at_a_promotion(service: dict[str, Any]) -> None:
    canary = render.with_canary(service, "2", 50)
    serving = canary["spec"]["canary"][0]["predictor"] if "canary" in canary["spec"] else canary["spec"]["predictor"]
    promoted = render.promoted(canary)["spec"]["predictor"]
    assert promoted.get("name") == serving.get("name")
    assert render.pods(promoted) == render.pods(serving)

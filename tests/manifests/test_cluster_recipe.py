"""What can be known without a cluster: reasons to skip, Secrets, another namespace, and missing programs."""

from pathlib import Path

import pytest
import yaml

from tests.cluster import conftest, kind, kubernetes
from tests.cluster.secrets import random_secrets
from tests.manifests.findings import documented_secrets, unspoken_namespaces
from tests.manifests.render import PROJECT, render


@pytest.mark.parametrize(("value", "said"), [("", "KUBECONFIG is not set"), ("/no/such/file", "which is not there")])
def test_the_reason_to_skip_is_one_sentence(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("KUBECONFIG", value)
    assert said in str(kubernetes.why_not())


def test_a_cluster_that_does_not_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], "
        "users: [{name: a, user: {}}], clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]}"
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert "does not answer" in str(kubernetes.why_not())


def test_random_secrets_are_the_documented_ones_and_differ_each_time() -> None:
    one, other = random_secrets("n"), random_secrets("n")
    assert {item["metadata"]["name"]: set(item["stringData"]) for item in one} == documented_secrets()
    assert all(a["stringData"] != b["stringData"] for a, b in zip(one, other, strict=True))


def test_an_overlay_moves_whole_to_another_namespace() -> None:
    objects = conftest.moved(render(PROJECT / "kustomize/overlays/local"), "elsewhere")
    assert list(unspoken_namespaces(objects)) == []
    assert {item["metadata"].get("namespace", "elsewhere") for item in objects} == {"elsewhere"}
    [settings] = [item for item in objects if item["metadata"]["name"] == "loopline-cluster"]
    read = yaml.safe_load(settings["data"]["cluster.yaml"])
    assert "namespace" not in read, "the pods that read it take their own"


def test_without_docker_and_kind_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for verb in ("up", "down"):
        assert kind.main([verb]) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: a cluster on this machine needs programs that are not on the PATH: docker, ")


def test_the_images_that_a_node_cannot_pull_are_loaded() -> None:
    found = kind.images(render(PROJECT / "kustomize/overlays/local"))
    assert {image.partition(":")[0] for image in found} >= {
        "loopline-registry",
        "loopline-pipelines",
        "loopline-training",
    }
    assert all("/" not in image for image in found)


def test_a_question_that_is_never_answered_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="not within 0 s: a thing happened"):
        kubernetes.until("a thing happened", lambda: None, 0.1, every=0.05)

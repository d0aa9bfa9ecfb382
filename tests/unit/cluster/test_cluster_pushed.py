"""Names of images, and what registries say of them: a fake one's logins, and a real one where it is installed."""

import hashlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from loopline.cluster import pushed
from tests.unit.cluster.fake_http import FakeHttp

REGISTRY = shutil.which("docker-registry")


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("loopline-data:0.1.0", ("", "loopline-data", "0.1.0")),
        ("acme/loopline-data:1", ("", "acme/loopline-data", "1")),
        ("ghcr.io/acme/loopline-data:1", ("ghcr.io", "acme/loopline-data", "1")),
        ("localhost/loopline-data", ("localhost", "loopline-data", "latest")),
        ("localhost:5000/loopline-data:1", ("localhost:5000", "loopline-data", "1")),
        ("ghcr.io/acme/loopline-data:1@sha256:ab", ("ghcr.io", "acme/loopline-data", "sha256:ab")),
    ],
)
def test_a_name_taken_apart(image, parts):
    reference = pushed.Reference.parse(image)
    assert (reference.registry, reference.repository, reference.version) == parts


def test_a_bare_name_has_nobody_to_ask():
    with pytest.raises(pushed.UnknownError, match="names no registry; it has to be loaded into the nodes"):
        pushed.labels("loopline-data:0.1.0")


def test_nonsense():
    with FakeHttp() as fake:
        host = fake.address.removeprefix("http://")
        fake.answers["/v2/a/manifests/1"] = (500, {})
        with pytest.raises(pushed.UnknownError, match="answered with 500"):
            pushed.labels(f"{host}/a:1")
        fake.answers["/v2/a/manifests/1"] = ["no", "manifest"]
        with pytest.raises(pushed.UnknownError, match="cannot be asked for images"):
            pushed.labels(f"{host}/a:1")


@pytest.mark.skipif(REGISTRY is None, reason="no docker-registry is installed")
def test_a_real_registry(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "store")}},
        "http": {"addr": host},
    }
    (tmp_path / "registry.json").write_text(json.dumps(settings))
    server = subprocess.Popen(
        [REGISTRY, "serve", str(tmp_path / "registry.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_it_listens(host)
        wanted = {"dev.loopline.interface": "sha256:abc"}
        digest = _push(host, "acme/loopline-data", "1", {"config": {"Labels": wanted}})
        assert pushed.labels(f"{host}/acme/loopline-data:1") == wanted
        assert pushed.labels(f"{host}/acme/loopline-data@{digest}") == wanted
        assert pushed.labels(f"{host}/acme/loopline-data:2") is None
        assert pushed.labels(f"{host}/acme/loopline-other:1") is None
    finally:
        server.kill()
        server.wait()


def _until_it_listens(host):
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the registry does not listen")


def _push(host, repository, tag, configuration):
    """Push an image without layers; returns the digest of its manifest."""
    base = f"http://{host}/v2/{repository}"
    blob = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, **configuration}
    )
    digest = f"sha256:{hashlib.sha256(blob.encode()).hexdigest()}"
    begun = _send("POST", f"{base}/blobs/uploads/", b"")
    _send("PUT", f"{begun['Location']}&digest={digest}", blob.encode(), "application/octet-stream")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(blob), "digest": digest}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}).encode()
    _send("PUT", f"{base}/manifests/{tag}", manifest, kind)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _send(method, url, body, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return dict(answer.headers)

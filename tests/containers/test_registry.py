"""Pushing to a real registry on this machine, and pinning by the digest that it gives."""

import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from loopline.components.errors import LooplineError

PROGRAM = shutil.which("docker-registry") or shutil.which("registry")


@pytest.fixture
def registry(tmp_path):
    """Address of a registry that serves a folder."""
    if not PROGRAM:
        pytest.skip("no image registry here: docker-registry is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", config], stdout=log, stderr=log)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait()


@pytest.fixture
def small(builder, tmp_path):
    """An image of one file."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    reference = "loopline-test:push"
    builder.build(tmp_path / "context", tmp_path / "context" / "Dockerfile", reference, {}, {}, tmp_path / "build.log")
    return reference


def test_a_push_returns_the_digest_that_the_registry_serves(builder, small, registry):
    digest = builder.push(small, f"{registry}/acme/{small}")
    request = urllib.request.Request(
        f"http://{registry}/v2/acme/loopline-test/manifests/{digest}",
        headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest


def test_a_registry_that_is_not_there_is_one_sentence(builder, small):
    with pytest.raises(LooplineError, match=r"^127.0.0.1:9/loopline-test:push could not be pushed: "):
        builder.push(small, f"127.0.0.1:9/{small}")

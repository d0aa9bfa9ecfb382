"""Image references, and labels read from registries: fakes with logins, and a real one where it is installed."""

import base64
import crypt
import hashlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from loopline.cluster import image_registry
from tests.loopback_server import LoopbackServer
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
    reference = image_registry.Reference.parse(image)
    assert (reference.registry, reference.repository, reference.version) == parts


def test_a_bare_name_has_nobody_to_ask():
    with pytest.raises(image_registry.RegistryError, match="names no registry; it has to be loaded into the nodes"):
        image_registry.labels("loopline-data:0.1.0")


def test_nonsense():
    with FakeHttp() as fake:
        host = fake.address.removeprefix("http://")
        fake.answers["/v2/a/manifests/1"] = (500, {})
        with pytest.raises(image_registry.RegistryError, match="answered 500"):
            image_registry.labels(f"{host}/a:1")
        fake.answers["/v2/a/manifests/1"] = ["no", "manifest"]
        with pytest.raises(image_registry.RegistryError, match="cannot be reached"):
            image_registry.labels(f"{host}/a:1")


class PrivateRegistry(LoopbackServer):
    """A registry with one image, which asks for a login (basic) or for a token of its own server (bearer)."""

    def __init__(self, scheme):
        self.scheme, self.seen = scheme, []
        super().__init__()

    def answer(self, request):
        given = request.headers.get("Authorization", "")
        self.seen.append((request.path, given))
        if request.path == "/token":
            assert request.query == {"service": ["registry"], "scope": ["repository:a:pull"]}
            return (200, {"token": "a-token"}) if given == BASIC else (401, {})
        if request.path == "/store":  # where blobs lie: another host, which must not see the credentials
            return 200, {"config": {"Labels": {"a": "b"}}}
        if given != {"basic": BASIC, "bearer": "Bearer a-token"}[self.scheme]:
            fields = f'realm="{self.address}/token",service="registry",scope="repository:a:pull"'
            return 401, {}, {"WWW-Authenticate": 'Basic realm="us"' if self.scheme == "basic" else f"Bearer {fields}"}
        if "/blobs/" in request.path:
            return 307, {}, {"Location": f"{self.address}/store"}
        return 200, {"config": {"digest": "sha256:1"}}


BASIC = f"Basic {base64.b64encode(b'me:secret').decode()}"


@pytest.fixture
def logins(tmp_path, monkeypatch):
    """A function that keeps a login for a registry where docker, podman or a credential helper keep theirs."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def keep(registry, kind="docker", login="me:secret"):
        auths = {"auths": {registry: {"auth": base64.b64encode(login.encode()).decode()}}}
        if kind == "podman":
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
            (tmp_path / "auth.json").write_text(json.dumps(auths))
        elif kind == "docker":
            (tmp_path / "config.json").write_text(json.dumps(auths))
        else:
            (tmp_path / "config.json").write_text(json.dumps({"credsStore": "fake"}))
            helper = tmp_path / "docker-credential-fake"
            user, _, secret = login.partition(":")
            helper.write_text(f"""#!/bin/sh\necho '{json.dumps({"Username": user, "Secret": secret})}'\n""")
            helper.chmod(0o755)
            monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return keep


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("kind", ["docker", "podman", "helper"])
def test_a_private_registry_takes_the_login_of_this_machine(scheme, kind, logins):
    with PrivateRegistry(scheme) as registry:
        host = registry.address.removeprefix("http://")
        logins(host, kind)
        assert image_registry.labels(f"{host}/a:1") == {"a": "b"}
        assert ("/store", "") in registry.seen


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_private_registry_without_a_login_or_with_a_wrong_one(scheme, logins):
    with PrivateRegistry(scheme) as registry:
        host = registry.address.removeprefix("http://")
        with pytest.raises(image_registry.RegistryError, match=r"needs a login|does not let this account read"):
            image_registry.labels(f"{host}/a:1")
        logins(host, login="me:wrong")
        with pytest.raises(image_registry.RegistryError, match=r"does not let this account .* `docker login 127"):
            image_registry.labels(f"{host}/a:1")


def test_a_login_that_cannot_be_read(logins, tmp_path):
    with PrivateRegistry("basic") as registry:
        host = registry.address.removeprefix("http://")
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": "no colon"}}}))
        with pytest.raises(image_registry.RegistryError, match=r"login for the registry .* cannot be read"):
            image_registry.labels(f"{host}/a:1")


def test_no_password_goes_to_a_token_server_without_encryption(logins):
    with FakeHttp() as fake:
        host = fake.address.removeprefix("http://")
        logins(host)
        challenge = {"WWW-Authenticate": 'Bearer realm="http://registry.example/token"'}
        fake.answers["/v2/a/manifests/1"] = (401, {}, challenge)
        with pytest.raises(image_registry.RegistryError, match="needs a login"):
            image_registry.labels(f"{host}/a:1")


@pytest.fixture(params=["public", "private"])
def real_registry(request, tmp_path):
    """A docker-registry process; returns its address, and the header of its one account."""
    if REGISTRY is None:
        pytest.skip("no docker-registry is installed: apt-get install docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "store")}},
        "http": {"addr": host},
    }
    if request.param == "private":
        (tmp_path / "htpasswd").write_text(f"me:{crypt.crypt('secret', crypt.mksalt(crypt.METHOD_BLOWFISH))}")
        settings["auth"] = {"htpasswd": {"realm": "ours", "path": str(tmp_path / "htpasswd")}}
    (tmp_path / "registry.json").write_text(json.dumps(settings))
    server = subprocess.Popen(
        [REGISTRY, "serve", str(tmp_path / "registry.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_it_listens(host)
        yield host, {"Authorization": BASIC} if request.param == "private" else {}
    finally:
        server.kill()
        server.wait()


def test_a_real_registry(real_registry, logins):
    host, account = real_registry
    wanted = {"dev.loopline.interface": "sha256:abc"}
    digest = _push(host, "acme/loopline-data", "1", {"config": {"Labels": wanted}}, account)
    if account:
        with pytest.raises(image_registry.RegistryError, match="needs a login"):
            image_registry.labels(f"{host}/acme/loopline-data:1")
        logins(host)
    assert image_registry.labels(f"{host}/acme/loopline-data:1") == wanted
    assert image_registry.labels(f"{host}/acme/loopline-data@{digest}") == wanted
    assert image_registry.labels(f"{host}/acme/loopline-data:2") is None
    assert image_registry.labels(f"{host}/acme/loopline-other:1") is None


def _until_it_listens(host):
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the registry does not listen")


def _push(host, repository, tag, configuration, account):
    """Push an image without layers; returns the digest of its manifest."""
    base = f"http://{host}/v2/{repository}"
    blob = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, **configuration}
    )
    digest = f"sha256:{hashlib.sha256(blob.encode()).hexdigest()}"
    begun = _send("POST", f"{base}/blobs/uploads/", b"", account)
    _send("PUT", f"{begun['Location']}&digest={digest}", blob.encode(), account)
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(blob), "digest": digest}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}).encode()
    _send("PUT", f"{base}/manifests/{tag}", manifest, account, kind)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _send(method, url, body, account, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind, **account})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return dict(answer.headers)

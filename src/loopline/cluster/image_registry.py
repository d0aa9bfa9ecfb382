"""The labels of an image in its registry, read over the OCI distribution API with the logins of this machine."""

import base64
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 5.0
MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LOOPBACK = ("localhost", "127.", "[::1]")
HOSTS = {"docker.io": "registry-1.docker.io"}  # Docker Hub answers at another host than its images are named after


class RegistryError(Exception):
    """The registry does not say whether it has an image: a check of the image neither passes nor fails."""


@dataclass(frozen=True)
class Reference:
    """The parts of an image reference.

    Attributes:
        registry: host and port; empty for a bare name, which is an image that somebody loads into the nodes.
        repository: its path there. ``version``: tag or digest.
    """

    registry: str
    repository: str
    version: str

    @classmethod
    def parse(cls, image: str) -> "Reference":
        """Split a reference such as ghcr.io/acme/loopline-data:1 or localhost:5000/loopline-data@sha256:..."""
        name, _, digest = image.partition("@")
        head, slash, rest = name.partition("/")
        known = slash and ("." in head or ":" in head or head == "localhost")
        registry, path = (head, rest) if known else ("", name)
        path, _, tag = path.partition(":")
        return cls(registry, path, digest or tag or "latest")


def labels(image: str) -> dict[str, str] | None:
    """The labels of an image; None if its registry does not have it.

    Raises:
        RegistryError: the reference names no registry, or the registry cannot be read from here; the nodes may be able
            to pull from it.
    """
    reference = Reference.parse(image)
    if not reference.registry:
        raise RegistryError(f"{image} names no registry; it has to be loaded into the nodes")
    repository = _Repository(reference)
    manifest = repository.get(f"manifests/{reference.version}")
    if manifest is None:
        return None
    if "manifests" in manifest:  # one for each platform: the labels are the same
        manifest = repository.get(f"manifests/{manifest['manifests'][0]['digest']}") or {}
    configuration = repository.get(f"blobs/{manifest.get('config', {}).get('digest', '')}") or {}
    return dict(configuration.get("config", {}).get("Labels") or {})


class _Repository:
    """The repository of one image."""

    def __init__(self, reference: Reference) -> None:
        scheme = "http" if reference.registry.startswith(LOOPBACK) else "https"
        host = HOSTS.get(reference.registry, reference.registry)
        self._registry = reference.registry
        self._base = f"{scheme}://{host}/v2/{reference.repository}"
        self._authorization = ""

    def get(self, path: str) -> dict[str, Any] | None:
        """The JSON at a path; None if there is nothing."""
        try:
            return self._fetch(f"{self._base}/{path}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code in {401, 403}:
                raise RegistryError(
                    f"the registry {self._registry} does not let this account read {path}; log in, for example with "
                    f"`docker login {self._registry}`"
                ) from error
            raise RegistryError(f"the registry {self._registry} answered {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise RegistryError(f"the registry {self._registry} cannot be reached ({reason})") from error

    def _fetch(self, url: str) -> dict[str, Any]:
        try:
            return _fetch(url, self._authorization)
        except urllib.error.HTTPError as error:
            if error.code != 401 or self._authorization:
                raise
            self._authorization = self._authorize(error.headers.get("WWW-Authenticate", ""))
        return _fetch(url, self._authorization)

    def _authorize(self, challenge: str) -> str:
        """The Authorization header that answers a challenge: the login itself, or a token from the realm's server."""
        login = _login(self._registry)
        basic = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}" if login else ""
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic" and basic:
            return basic
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = urllib.parse.urlsplit(fields.pop("realm", ""))
        safe = realm.scheme == "https" or (realm.scheme == "http" and realm.netloc.startswith(LOOPBACK))
        if scheme != "bearer" or not safe:
            raise RegistryError(
                f"the registry {self._registry} needs a login; `docker login {self._registry}` keeps one for this check"
            )
        response = _fetch(f"{realm.geturl()}?{urllib.parse.urlencode(fields)}", basic)
        return f"Bearer {response.get('token') or response.get('access_token') or ''}"


def _fetch(url: str, authorization: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Accept": ", ".join(MEDIA_TYPES)})  # noqa: S310 - http or https
    if authorization:  # not for the object store that a registry redirects to
        request.add_unredirected_header("Authorization", authorization)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
        return dict(json.load(response))


def _login(registry: str) -> tuple[str, str] | None:
    """The user and password that ``podman login`` or ``docker login`` keep for a registry, or their credential helper.

    Raises:
        RegistryError: the file that holds them, or the helper, is broken.
    """
    from docker import auth
    from docker.errors import DockerException

    podman = os.environ.get("REGISTRY_AUTH_FILE") or f"{os.environ.get('XDG_RUNTIME_DIR', '')}/containers/auth.json"
    try:
        for path in (podman, None):  # None: where Docker keeps them
            if path and not Path(path).is_file():
                continue
            found = auth.load_config(path).resolve_authconfig(registry) or {}
            entry = {key.lower(): value for key, value in found.items()}
            if entry.get("username"):
                return entry["username"], entry["password"]
    except (DockerException, ValueError) as error:
        raise RegistryError(f"the login for the registry {registry} cannot be read ({error})") from error
    return None

"""Whether an image was pushed, and which interface it says it serves: asked of its registry over plain HTTP."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT = 5.0
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LOOPBACK = ("localhost", "127.", "[::1]")


class UnknownError(Exception):
    """Its registry does not tell us, cannot be reached from here, or is not named: neither good nor bad."""


@dataclass(frozen=True)
class Reference:
    """The name of an image, taken apart.

    Attributes:
        registry: host and port; empty for a bare name, which is an image that somebody loads into the nodes.
        repository: its path there. ``version``: tag or digest.
    """

    registry: str
    repository: str
    version: str

    @classmethod
    def parse(cls, image: str) -> "Reference":
        """Take a name apart."""
        name, _, digest = image.partition("@")
        head, slash, rest = name.partition("/")
        known = slash and ("." in head or ":" in head or head == "localhost")
        registry, path = (head, rest) if known else ("", name)
        path, _, tag = path.partition(":")
        return cls(registry, path, digest or tag or "latest")


def labels(image: str) -> dict[str, str] | None:
    """The labels of a pushed image; None if its registry does not have it.

    Raises:
        UnknownError: there is no registry in its name, or it cannot be asked from here; the nodes may reach it.
    """
    reference = Reference.parse(image)
    if not reference.registry:
        raise UnknownError(f"{image} names no registry; it has to be loaded into the nodes")
    asked = _Registry(reference)
    manifest = asked.get(f"manifests/{reference.version}")
    if manifest is None:
        return None
    if "manifests" in manifest:  # one for each kind of machine: the labels are the same
        manifest = asked.get(f"manifests/{manifest['manifests'][0]['digest']}") or {}
    configuration = asked.get(f"blobs/{manifest.get('config', {}).get('digest', '')}") or {}
    return dict(configuration.get("config", {}).get("Labels") or {})


class _Registry:
    """The registry of one image. Reads what anybody may read."""

    def __init__(self, reference: Reference) -> None:
        scheme = "http" if reference.registry.startswith(LOOPBACK) else "https"
        self._where = reference.registry
        self._base = f"{scheme}://{reference.registry}/v2/{reference.repository}"
        self._token = ""

    def get(self, path: str) -> dict[str, Any] | None:
        try:
            return self._fetch(path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 401 and not self._token and self._log_in(error.headers.get("WWW-Authenticate", "")):
                return self.get(path)
            if error.code in {401, 403}:
                raise UnknownError(f"the registry {self._where} asks for a login") from error
            raise UnknownError(f"the registry {self._where} answered with {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnknownError(f"the registry {self._where} cannot be asked for images ({reason})") from error

    def _fetch(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._base}/{path}", headers={"Accept": ", ".join(MANIFESTS)})  # noqa: S310
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - the scheme is ours
            return dict(json.load(answer))

    def _log_in(self, challenge: str) -> bool:
        """Get the token that a public registry gives to anybody."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm", "")
        if not challenge.lower().startswith("bearer") or not realm.startswith("https://"):
            return False
        try:
            with urllib.request.urlopen(f"{realm}?{urllib.parse.urlencode(fields)}", timeout=TIMEOUT) as answer:  # noqa: S310
                given = json.load(answer)
        except (OSError, ValueError):
            return False
        self._token = str(given.get("token") or given.get("access_token") or "")
        return bool(self._token)

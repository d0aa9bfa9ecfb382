"""``make cluster-up`` and ``make cluster-down``: the whole platform on one machine that has docker and kind.

A cluster of the pinned version, every release in versions.yaml by its own command, Secrets, our images, and the overlay
``local``. What is there already stays as it is, so a broken run is continued by the same command.
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from loopline.components.errors import LooplineError
from tests.cluster import kubernetes
from tests.cluster.secrets import random_secrets
from tests.manifests.findings import CLUSTER_SCOPED
from tests.manifests.pods import pods_of
from tests.manifests.render import PROJECT, render

NAME = "loopline"
NAMESPACE = "loopline"
VERSIONS = yaml.safe_load((PROJECT / "manifests/upstream/versions.yaml").read_text(encoding="utf-8"))
# For endpoints, monitoring, and Secrets from a store: not needed for what the overlay local holds.
LATER = frozenset({"Gateway API", "KServe", "KEDA", "Prometheus operator", "External Secrets"})
# A CRD has to be known before an object of it is taken, also where both come in one file.
ATTEMPTS = 3


def needed() -> Iterator[dict[str, Any]]:
    """The releases that the overlay local needs, in order."""
    for release in VERSIONS["releases"]:
        if release["name"] not in LATER and "install" in release:
            yield release


def check_tools() -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        LooplineError: a program is not there.
    """
    programs = {"docker", "kind", *(shlex.split(release["install"])[0] for release in needed())} - {"kubectl"}
    missing = sorted(program for program in programs if not shutil.which(program))
    if missing:
        raise LooplineError(
            f"a cluster on this machine needs programs that are not on the PATH: {', '.join(missing)}; "
            "install them, or name another cluster with KUBECONFIG and apply an overlay there"
        )


def images(objects: list[dict[str, Any]]) -> list[str]:
    """The images of ours that an overlay runs: those without a registry, which a node cannot pull."""
    found = {
        container["image"]
        for item in objects
        for pod in pods_of(item)
        for container in [*pod.spec.get("initContainers", []), *pod.spec["containers"]]
        if "image" in container and "/" not in container["image"]
    }
    return sorted(found)


def up() -> None:
    """Make the cluster, or go on making it.

    Raises:
        LooplineError: a program is missing or refuses.
    """
    check_tools()
    objects = render(PROJECT / "kustomize/overlays/local")
    if NAME not in _run("kind", "get", "clusters", quiet=True).split():
        _run("kind", "create", "cluster", "--name", NAME, "--image", VERSIONS["kubernetes"]["node"], "--wait", "180s")
    _run("kind", "export", "kubeconfig", "--name", NAME, quiet=True)
    for release in needed():
        print(f"{release['name']} {release['version']}", flush=True)
        _install(shlex.split(release["install"]))
    for image in images(objects):
        _run("kind", "load", "docker-image", image, "--name", NAME)
    namespace = [item for item in objects if item["kind"] == "Namespace"]
    kubernetes.apply(namespace)
    kubernetes.apply([item for item in random_secrets(NAMESPACE) if not _there(item)])
    first = [item for item in objects if item["kind"] in CLUSTER_SCOPED]
    kubernetes.apply(first)
    kubernetes.apply(objects)
    for kind, name in (("statefulset", "postgres"), ("statefulset", "redis"), ("deployment", "mlflow")):
        kubernetes.run("rollout", "status", kind, name, "--namespace", NAMESPACE, "--timeout", "300s", timeout=330)
    print(f"cluster {NAME} is up; kubectl's current context is kind-{NAME}")


def down() -> None:
    """Delete the cluster and all that is in it.

    Raises:
        LooplineError: kind is missing or refuses.
    """
    check_tools()
    _run("kind", "delete", "cluster", "--name", NAME)


def _there(item: dict[str, Any]) -> bool:
    return kubernetes.get(item["kind"], item["metadata"]["name"], NAMESPACE) is not None


def _install(command: list[str]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _run(*command)
        except LooplineError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


def _run(*command: str, quiet: bool = False) -> str:
    done = subprocess.run(command, capture_output=quiet, text=True, check=False)
    if done.returncode:
        raise LooplineError(f"`{shlex.join(command)}` failed; correct what it says and run the same command again")
    return done.stdout or ""


def main(arguments: list[str]) -> int:
    """Do what is asked: ``up`` or ``down``."""
    try:
        {"up": up, "down": down}[arguments[0]]()
    except (LooplineError, kubernetes.KubectlError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

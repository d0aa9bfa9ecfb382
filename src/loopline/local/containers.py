"""Steps in containers: the images and commands of the cluster, on docker or on podman's socket.

kfp's own Docker handler lets the engine remove a container when it exits. If that happens before the exit code is read,
a failure counts as success. Here a container is removed after its exit code was read.
"""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound, NotFound

from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.images import catalogue
from loopline.local.locations import local_folder
from loopline.local.run_store import is_alive
from loopline.local.workspace import Workspace

# Who started a container: those of a killed run are removed, those of a running one are not.
WORKSPACE_LABEL = "dev.loopline.workspace"
PROCESS_LABEL = "dev.loopline.process"
# Variables of the caller that a step needs to reach a URL; none that name a file of this machine.
FORWARDED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "LOOPLINE_ONLINE_STORE",
    "LOOPLINE_ONLINE_STORE_PASSWORD",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
KILLED = 137
_EXCEPTION = re.compile(r"^((?:[A-Za-z_]\w*\.)*)([A-Za-z_]\w*): (.+)$")


class Containers:
    """The container engine of this machine, for the steps of one run.

    A step sees its image (read-only), an empty /tmp and the folders that hold state, and runs as the calling user. It
    has no network unless a parameter of the run is a URL.

    Args:
        workspace: mounted under its own path.
        arguments: the parameters of the run.
        locations: those of them that name where state lies; such folders are mounted even outside the workspace.

    Raises:
        LooplineError: no container engine answers.
    """

    def __init__(self, workspace: Workspace, arguments: Mapping[str, Any], locations: Collection[str] = ()) -> None:
        self._workspace = workspace
        try:
            self._client = docker.from_env()
            options = self._client.info().get("SecurityOptions") or []
        except DockerException as error:
            raise LooplineError(
                "steps in containers need docker or podman's socket, and neither answers: start docker, or start "
                f"`podman system service` and point DOCKER_HOST at its socket ({error})"
            ) from error
        named = [local_folder(str(value)) for name, value in arguments.items() if name in locations]
        self._folders = sorted({workspace.root, *(folder for folder in named if folder)})
        self._online = any(_is_url(str(value)) for value in arguments.values())
        self._mode = "rw,z" if any("selinux" in option for option in options) else "rw"
        # Root inside a rootless engine is the caller outside of it.
        self._user = "0:0" if any("rootless" in option for option in options) else f"{os.getuid()}:{os.getgid()}"

    def require(self, images: Iterable[str], case: UseCase) -> None:
        """Check that the images for a use case are built.

        Raises:
            LooplineError: one is missing.
        """
        for image in sorted(set(images)):
            try:
                self._client.images.get(image)
            except ImageNotFound as error:
                command = f"loopline images --usecase {case.package}" if catalogue.outside(case) else "make images"
                raise LooplineError(
                    f"there is no image {image}, which holds the code as it is now; build it with `{command}`"
                ) from error

    def remove_leftovers(self) -> None:
        """Remove the containers of killed runs, which would write to the same folders as this run."""
        mine = f"{WORKSPACE_LABEL}={self._workspace.root}"
        for container in self._client.containers.list(all=True, filters={"label": mine}):
            if not is_alive(int(container.labels.get(PROCESS_LABEL, 0))):
                _remove(container)

    def run(
        self, image: str, command: list[str], environment: Mapping[str, str], log: Path, progress: Callable[[str], None]
    ) -> int:
        """Run one step to its end and return its exit code.

        Args:
            image: its image.
            command: the command, with placeholders filled in.
            environment: variables set for the step.
            log: file that takes all output.
            progress: called with each line of the log as it appears.

        Raises:
            LooplineError: the engine could not run it.
        """
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._run(image, command, environment, log, progress)
        except DockerException as error:
            said = str(getattr(error, "explanation", None) or error).strip().splitlines()
            raise LooplineError(
                f"the container engine could not run {image}: {said[0] if said else 'no reason'}"
            ) from error

    def _run(
        self, image: str, command: list[str], environment: Mapping[str, str], log: Path, progress: Callable[[str], None]
    ) -> int:
        container = self._client.containers.create(
            image,
            command,
            environment={**self._forwarded(), **environment},
            labels={WORKSPACE_LABEL: str(self._workspace.root), PROCESS_LABEL: str(os.getpid())},
            user=self._user,
            volumes={str(folder): {"bind": str(folder), "mode": self._mode} for folder in self._folders},
            read_only=True,
            tmpfs={"/tmp": "rw,mode=1777"},  # noqa: S108 - inside the container
            network_mode="host" if self._online else "none",  # a URL may lead to a server on this machine
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        try:
            container.start()
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                _copy_lines(container.logs(stream=True, follow=True), file, progress)
            return int(container.wait()["StatusCode"])
        finally:
            _remove(container)

    def _forwarded(self) -> dict[str, str]:
        return {name: os.environ[name] for name in FORWARDED if self._online and name in os.environ}


def failure_sentence(log: Path, code: int) -> str:
    """Why a step failed, in one sentence: the exception at the end of its log.

    Args:
        log: what the container printed.
        code: its exit code.
    """
    if code == KILLED:
        return "its container was killed, perhaps because it ran out of memory; run the command again to resume here"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    for line in reversed(lines):
        found = _EXCEPTION.match(line)
        if found:
            module, kind, sentence = found.groups()
            if "No space left on device" in sentence:
                return "the disk is full; free some space and run the same command again"
            return sentence if module == f"{LooplineError.__module__}." else f"{kind}: {sentence}"
    return f"exit code {code}; see {log}"


def _copy_lines(chunks: Iterable[bytes], file: Any, progress: Callable[[str], None]) -> None:
    """Write what a container prints to a file, and report each complete line."""
    rest = b""
    for chunk in chunks:
        file.write(chunk)
        file.flush()
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                progress(line.decode(errors="replace"))
    if rest.strip():
        progress(rest.decode(errors="replace"))


def _is_url(value: str) -> bool:
    return "://" in value and not value.startswith(("sqlite:///", "file://"))


def _remove(container: Any) -> None:
    with contextlib.suppress(NotFound):
        container.remove(force=True)

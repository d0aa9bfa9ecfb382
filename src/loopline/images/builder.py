"""The program that builds images on this machine: docker, podman or buildah."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.errors import LooplineError

# Extra options of the builder, for a machine that needs a proxy, a certificate or a folder of wheels.
FLAGS = "LOOPLINE_BUILD_FLAGS"
# Registries that are reached without TLS, as docker itself has it.
LOOPBACK = ("localhost", "127.", "[::1]")
_PROGRAMS = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class Builder:
    """A builder of images, by the name of its program."""

    program: str

    @classmethod
    def find(cls) -> "Builder":
        """The first of docker, podman and buildah that works here.

        A docker client may speak to podman; then podman builds, with options that docker's client does not know.

        Raises:
            LooplineError: none does.
        """
        found = [program for program in _PROGRAMS if shutil.which(program)]
        for program in found:
            if program != "docker" or _docker_server_is_docker():
                return cls(program)
        problem = "docker is installed but its server does not answer" if found else "there is no container engine"
        raise LooplineError(f"{problem}: start or install docker, podman or buildah, and try again")

    def build(
        self,
        context: Path,
        dockerfile: Path,
        reference: str,
        args: Mapping[str, str],
        labels: Mapping[str, str],
        log: Path,
    ) -> None:
        """Build an image; the builder's output goes to a log.

        Raises:
            LooplineError: it failed; the message ends with the last line of the log.
        """
        options = [f"--file={dockerfile}", f"--tag={reference}"]
        options += [f"--build-arg={name}={value}" for name, value in args.items()]
        options += [f"--label={name}={value}" for name, value in labels.items()]
        options += shlex.split(os.environ.get(FLAGS, ""))
        command = ["buildah", "build", "--layers"] if self.program == "buildah" else [self.program, "build"]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            done = subprocess.run(
                [*command, *options, str(context)], stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = said[-1] if said else "it gave no reason"
            raise LooplineError(f"{self.program} could not build {reference} (its output is in {log}): {reason}")

    def has(self, reference: str) -> bool:
        """Whether an image is on this machine."""
        return self._inspect(reference) is not None

    def size(self, reference: str) -> int | None:
        """Bytes of an image, its parents included; None if it is not here or the program does not report it."""
        found = self._inspect(reference)
        return int(found["Size"]) if found and found.get("Size") else None

    def layers(self, reference: str) -> list[str]:
        """Digests of an image's layers, lowest first; empty if it is not here."""
        found = self._inspect(reference) or {}
        root = found.get("RootFS") or found.get("OCIv1", {}).get("rootfs", {})
        return list(root.get("Layers") or root.get("diff_ids") or [])

    def run(self, reference: str, command: list[str]) -> str:
        """Run a command in an image, without network, and return what it prints.

        Raises:
            LooplineError: it failed, or the program cannot run containers.
        """
        if self.program == "buildah":
            raise LooplineError("buildah builds images but does not run them: install docker or podman for this")
        program, *arguments = command
        return self._run(
            "run", "--rm", "--read-only", "--network=none", f"--entrypoint={program}", reference, *arguments
        )

    def push(self, reference: str, target: str) -> str:
        """Copy an image to a registry and return the digest that it has there.

        Raises:
            LooplineError: the registry cannot be reached, or refuses it.
        """
        if self.program == "docker":
            self._run("tag", reference, target)
            self._run("push", "--quiet", target, target=target)
            found = self._inspect(target) or {}
            repository = target.rpartition(":")[0]
            return next(d.partition("@")[2] for d in found["RepoDigests"] if d.startswith(f"{repository}@"))
        plain = ["--tls-verify=false"] if target.startswith(LOOPBACK) else []
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "digest"
            self._run("push", "--quiet", *plain, f"--digestfile={file}", reference, f"docker://{target}", target=target)
            return file.read_text(encoding="utf-8").strip()

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        what = ["inspect", "--type=image"] if self.program == "buildah" else ["image", "inspect"]
        done = subprocess.run([self.program, *what, reference], capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        found = json.loads(done.stdout)
        return dict(found[0] if isinstance(found, list) else found)

    def _run(self, *arguments: str, target: str = "") -> str:
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            problem = f"{target} could not be pushed" if target else f"{self.program} {arguments[0]} failed"
            raise LooplineError(f"{problem}: {said[-1] if said else 'no reason given'}")
        return done.stdout


def _docker_server_is_docker() -> bool:
    """Whether docker's client reaches a server, and one of its own kind."""
    command = ["docker", "version", "--format={{range .Server.Components}}{{.Name}} {{end}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "Podman" not in done.stdout

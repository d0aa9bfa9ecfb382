"""The builder: which one is taken, what it is told, and what people are told when it does not work."""

import json

import pytest

from loopline.components.errors import LooplineError
from loopline.images.builder import FLAGS, Builder


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A PATH with nothing on it but what a test puts there: programs that note their arguments, then do as told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(FLAGS, raising=False)

    class Machine:
        calls = tmp_path / "calls"

        def install(self, program, script="exit 0"):
            file = folder / program
            file.write_text(f'#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >> {self.calls}\n{script}\n')
            file.chmod(0o755)

        @property
        def said(self):
            return self.calls.read_text().splitlines()

    return Machine()


DOCKER = 'echo "Engine containerd runc docker-init "'
DOCKER_BEFORE_PODMAN = 'echo "Podman Engine Conmon OCI Runtime (runc) "'


@pytest.mark.parametrize(
    ("programs", "chosen"),
    [
        ({"docker": DOCKER, "podman": "", "buildah": ""}, "docker"),
        ({"docker": "exit 1", "podman": ""}, "podman"),
        ({"docker": DOCKER_BEFORE_PODMAN, "podman": ""}, "podman"),
        ({"docker": DOCKER_BEFORE_PODMAN, "buildah": ""}, "buildah"),
        ({"podman": "", "buildah": ""}, "podman"),
        ({"buildah": ""}, "buildah"),
    ],
)
def test_the_first_that_works_is_taken(machine, programs, chosen):
    for program, script in programs.items():
        machine.install(program, script)
    assert Builder.find().program == chosen


def test_without_an_engine_one_sentence_says_what_to_install(machine):
    with pytest.raises(LooplineError, match=r"^there is no container engine: .* docker, podman or buildah"):
        Builder.find()


def test_a_docker_without_its_server_is_said_to_be_that(machine):
    machine.install("docker", "exit 1")
    with pytest.raises(LooplineError, match="docker is installed but its server does not answer"):
        Builder.find()


def test_a_build_gets_arguments_labels_and_the_flags_of_the_machine(machine, tmp_path, monkeypatch):
    machine.install("podman")
    monkeypatch.setenv(FLAGS, "--network host --env 'A=b c'")
    file, log = tmp_path / "Dockerfile", tmp_path / "logs" / "log"
    Builder("podman").build(tmp_path, file, "loopline-data:1", {"BASE_IMAGE": "base:1"}, {"a.b": "c d"}, log)
    assert machine.said == [
        "build",
        f"--file={file}",
        "--tag=loopline-data:1",
        "--build-arg=BASE_IMAGE=base:1",
        "--label=a.b=c d",
        "--network",
        "host",
        "--env",
        "A=b c",
        str(tmp_path),
    ]


def test_buildah_is_told_to_keep_layers(machine, tmp_path):
    machine.install("buildah")
    Builder("buildah").build(tmp_path, tmp_path / "Dockerfile", "a:1", {}, {}, tmp_path / "log")
    assert machine.said[:2] == ["build", "--layers"]


def test_a_failed_build_says_where_its_log_is_and_how_it_ended(machine, tmp_path):
    machine.install("podman", "echo step 1; echo no space left >&2; exit 3")
    log = tmp_path / "log"
    with pytest.raises(LooplineError, match=f"podman could not build a:1 .*{log}.*: no space left"):
        Builder("podman").build(tmp_path, tmp_path / "Dockerfile", "a:1", {}, {}, log)
    assert "step 1" in log.read_text()


@pytest.mark.parametrize(("target", "plain"), [("localhost:5000/a:1", True), ("ghcr.io/acme/a:1", False)])
def test_podman_pushes_with_tls_but_to_this_machine(machine, target, plain):
    machine.install(
        "podman", 'for word; do case "$word" in --digestfile=*) printf sha256:abc > "${word#*=}" ;; esac; done'
    )
    assert Builder("podman").push("a:1", target) == "sha256:abc"
    assert ("--tls-verify=false" in machine.said) is plain
    assert f"docker://{target}" in machine.said


def test_docker_tells_the_digest_of_the_repository_that_was_pushed_to(machine):
    found = json.dumps([{"RepoDigests": ["ghcr.io/other/a@sha256:1", "ghcr.io/acme/a@sha256:2"]}])
    machine.install("docker", f"case $1 in image) echo '{found}' ;; esac")
    assert Builder("docker").push("a:1", "ghcr.io/acme/a:1") == "sha256:2"


def test_a_refused_push_says_which_image_and_why(machine):
    machine.install("podman", "echo 'unauthorized: log in first' >&2; exit 125")
    with pytest.raises(LooplineError, match=r"ghcr.io/acme/a:1 could not be pushed: unauthorized: log in first"):
        Builder("podman").push("a:1", "ghcr.io/acme/a:1")


def test_sizes_and_layers_are_read_as_each_program_tells_them(machine):
    machine.install("podman", """echo '[{"Size": 5, "RootFS": {"Layers": ["sha256:1"]}}]'""")
    machine.install("buildah", """echo '{"OCIv1": {"rootfs": {"diff_ids": ["sha256:1"]}}}'""")
    assert (Builder("podman").size("a"), Builder("podman").layers("a")) == (5, ["sha256:1"])
    assert (Builder("buildah").size("a"), Builder("buildah").layers("a")) == (None, ["sha256:1"])


def test_an_image_that_is_not_there_is_not_there(machine):
    machine.install("docker", "exit 1")
    builder = Builder("docker")
    assert (builder.has("a"), builder.size("a"), builder.layers("a")) == (False, None, [])


def test_buildah_alone_runs_nothing(machine):
    with pytest.raises(LooplineError, match="install docker or podman"):
        Builder("buildah").run("a:1", ["true"])

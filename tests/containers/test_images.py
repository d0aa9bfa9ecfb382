"""What images are: small, without root, without tools to install or compile, and quick to build again."""

import shutil
import time

import pytest

from loopline import project
from loopline.components.contract import usecase
from loopline.images import catalogue, code
from loopline.images.building import INTERFACE_LABEL
from loopline.images.catalogue import STAGES
from loopline.images.sbom import write_sbom
from loopline.project import ROOT as PROJECT
from tests.containers.conftest import loopline

MEGABYTES = {"data": 600, "deployment": 700, "features": 600, "inference": 600, "training": 1600}
WITHOUT_TORCH = tuple(stage for stage in STAGES if stage != "training")
# What installs, compiles or fetches.
UNWANTED = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "git", "curl", "wget", "ssh")
# But for what commits a release.
WANTED = {"deployment": {"git"}}
NAMES = sorted({*STAGES, "serving", "pipelines", "spark"})
# Imports the code of a stage, and what it needs.
IMPORTS = {
    "data": (
        "loopline.components.data.ingest",
        "loopline.components.data.validate",
        "loopline.usecases.flights.source",
    ),
    "features": (
        "loopline.components.features.join",
        "loopline.components.features.materialise",
        "loopline.components.features.skew",
    ),
    "training": (
        "loopline.components.training.train",
        "loopline.components.training.package",
    ),
    "validation": (
        "loopline.components.validation.evaluate",
        "loopline.components.validation.gates",
        "loopline.components.validation.card",
    ),
    "registry": (
        "loopline.components.registry.register",
        "loopline.components.registry.promote",
        "mlflow.server.auth",
    ),
    "inference": (
        "loopline.components.inference.predict",
        "loopline.components.inference.publish",
    ),
    "deployment": (
        "loopline.components.deployment.steps",
        "loopline.components.deployment.targets.git",
        "kubernetes",
        "loopline.usecases.flights.source",
    ),
    "serving": (
        "loopline.components.serving.runtime.grpc_service",
        "loopline.components.serving.features.online_store",
        "loopline.components.serving.predictor.onnx_server",
    ),
    "pipelines": (
        "loopline.cli.app",
        "loopline.pipelines.training",
        "kfp",
        "hera",
    ),
    "spark": ("pyspark", "loopline.components.inference.scoring"),
}


def run(engine, reference, command, **options):
    """Output of a command in an image as a pod would run it: read-only, without rights and network."""
    said = engine.containers.run(
        reference,
        command[1:],
        entrypoint=command[:1],
        remove=True,
        stderr=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        **options,
    )
    return said.decode()


@pytest.mark.parametrize("name", MEGABYTES)
def test_sizes_stay_within_their_limits(built, name):
    beyond = built[name].beyond_system
    assert beyond is not None
    print(f"{name}: {beyond / 1e6:.0f} MB beyond the system's")
    assert beyond <= MEGABYTES[name] * 1e6


@pytest.mark.parametrize("user", ["", "12345:12345"], ids=["own user", "another user"])
@pytest.mark.parametrize("name", NAMES)
def test_an_image_works_as_any_user_with_a_read_only_root(engine, built, name, user):
    program = (
        f"import os, {', '.join(IMPORTS[name])}; open('/tmp/x', 'w').close(); print('user', os.getuid(), os.getcwd())"
    )
    said = run(engine, built[name].reference, ["python3", "-c", program], **({"user": user} if user else {}))
    assert f"user {user.partition(':')[0] or 65532} /opt/loopline" in said


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_an_image_installs_or_compiles(engine, built, name):
    looked = (
        "import importlib.util, shutil, sys; print('found', *[n for n in sys.argv[1:] if shutil.which(n)],"
        " *[m for m in ('pip', 'uv') if importlib.util.find_spec(m)])"
    )
    unwanted = [program for program in UNWANTED if program not in WANTED.get(name, ())]
    assert run(engine, built[name].reference, ["python3", "-c", looked, *unwanted]).split() == ["found"]


@pytest.mark.parametrize("name", [*WITHOUT_TORCH, "pipelines", "spark"])
def test_torch_is_in_the_training_image_alone(engine, built, name):
    looked = "import importlib.util; print(importlib.util.find_spec('torch'))"
    assert run(engine, built[name].reference, ["python3", "-c", looked]).strip() == "None"


@pytest.mark.parametrize("stage", STAGES)
def test_labels_and_revision_say_what_is_inside(engine, built, stage):
    image = engine.images.get(built[stage].reference)
    assert image.labels[INTERFACE_LABEL] == code.interface_digest(stage)
    assert image.labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert image.labels["org.opencontainers.image.version"] == project.version()
    assert image.labels["org.opencontainers.image.title"] == f"loopline-{stage}"
    tag = built[stage].reference.partition(":")[2]
    assert f"LOOPLINE_REVISION={tag}" in image.attrs["Config"]["Env"]
    assert image.attrs["Config"]["User"] == "65532:65532"


def test_a_stage_holds_no_other_stage(engine, built):
    for stage in STAGES:
        listed = run(engine, built[stage].reference, ["ls", "loopline/components"]).split()
        pages = {"pages"} & set(listed)  # where a step writes HTML
        assert sorted(listed) == sorted(["__init__.py", "contract", "errors.py", "io", stage, *pages])


def test_the_lock_is_what_is_installed(engine, built):
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    listing = (
        "from importlib import metadata\n"
        "print(*(package.metadata['Name'] + '==' + package.version for package in metadata.distributions()))"
    )
    for name in NAMES:
        # Podman's log may break a line where it likes; no package has a blank in its name.
        for line in run(engine, built[name].reference, ["python3", "-c", listing]).replace("\n", "").split():
            package, _, version = line.partition("==")
            name_in_lock = package.lower().replace("_", "-").replace(".", "-")
            # redis asks for it on a Python before 3.11.3, such as Debian's own, which the lock is not made for.
            if name_in_lock != "async-timeout":
                assert version.partition("+")[0] == locked[name_in_lock], line


def test_the_command_answers_in_its_image(engine, built):
    assert "submit" in run(engine, built["pipelines"].reference, ["loopline", "--help"])


@pytest.mark.parametrize("name", NAMES)
def test_a_bill_of_materials_lists_python_and_debian(builder, built, name, tmp_path):
    path, count = write_sbom(builder, catalogue.IMAGES[name], tmp_path)
    assert count > 100
    assert "pkg:pypi/pyarrow@" in path.read_text()
    assert "pkg:deb/debian/libc6@" in path.read_text()


def dockerfile(name):
    return project.path(catalogue.IMAGES[name].dockerfile).read_text()


@pytest.fixture
def changed(tmp_path):
    """A copy of the project in which one line of the contract has changed."""
    copy = tmp_path / "project"
    for path in ("components", "pipelines", "usecases", "images", "src"):
        shutil.copytree(PROJECT / path, copy / path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("pyproject.toml", "constraints.txt", ".dockerignore"):
        shutil.copy(PROJECT / path, copy / path)
    file = copy / "components" / "contract" / "dataset.py"
    file.write_text(f"{file.read_text()}# {tmp_path}\n")
    return copy


def test_a_changed_line_rebuilds_no_dependency_and_is_quick(engine, builder, built, changed):
    said = loopline("run", "training", "--containers", home=changed / "home", cwd=changed, expect=1)
    assert "which holds the code as it is now; build it with `make images`" in said
    begun = time.monotonic()
    table = loopline("images", cwd=changed)
    seconds = time.monotonic() - begun
    print(f"rebuild of {len(NAMES)} images after a change of one line of the contract: {seconds:.1f} s")
    base = builder.layers(built["base"].reference)
    for name in NAMES:
        (reference,) = [
            ":".join(line.split()[:2]) for line in table.splitlines() if line.strip().startswith(f"loopline-{name} ")
        ]
        assert reference != built[name].reference
        before, after = builder.layers(built[name].reference), builder.layers(reference)
        installed = len(base) + 1 + ("--from=requirements" in dockerfile(name))
        assert after[:installed] == before[:installed], f"a dependency layer of {name} was built again"
        assert after != before
        engine.images.remove(reference)


def test_a_use_case_of_another_repository_is_a_last_layer(builder, built, tmp_path):
    package = "tests.usecases.temperature"
    loopline("images", *STAGES, "--usecase", package)
    case = usecase.load(package)
    for stage in STAGES:
        layers = builder.layers(catalogue.reference(catalogue.IMAGES[stage], catalogue.outside(case)))
        own = builder.layers(built[stage].reference)
        assert layers[: len(own)] == own
        assert len(layers) == len(own) + 3  # its requirements, what they ask for, and its package
    loopline("run", "training", "--containers", "--usecase", package, home=tmp_path / "home")

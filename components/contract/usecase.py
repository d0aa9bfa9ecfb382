"""A use case: a Python package with usecase.yaml, source.py and features.py, named as ``package.module``."""

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io import digest
from loopline.components.io.strict import read_yaml

SPEC_FILE = "usecase.yaml"
REQUIREMENTS = "requirements.txt"  # what source.py imports beyond what every stage has


@dataclass(frozen=True)
class UseCase:
    """A loaded use case; its Python modules are imported on first use."""

    package: str
    folder: Path
    spec: UseCaseSpec

    @cached_property
    def source(self) -> ModuleType:
        """The module ``source``: ``tables(start, end)`` and, optionally, ``fingerprint()``."""
        return self._module("source")

    @cached_property
    def features(self) -> ModuleType:
        """The module ``features``: Feast feature views and ``HISTORY``, the SQL that fills each of them."""
        return self._module("features")

    @cached_property
    def model(self) -> ModuleType | None:
        """The optional module ``model``: ``build(spec, numbers, cardinalities)`` returns the torch module to train."""
        return self._module("model") if (self.folder / "model.py").is_file() else None

    def code_digest(self) -> str:
        """Digest of every file of the package: what a cached step of this use case depends on."""
        return digest.of_tree(self.folder)

    def source_fingerprint(self) -> str | None:
        """The fingerprint of the data behind ``source.tables``; None if the source has no ``fingerprint()``."""
        fingerprint = getattr(self.source, "fingerprint", None)
        return None if fingerprint is None else str(fingerprint())

    def _module(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(f"{self.package}.{name}")
        except ModuleNotFoundError as error:
            if error.name == f"{self.package}.{name}":
                raise LooplineError(f"use case {self.package} has no {name}.py in {self.folder}") from error
            raise LooplineError(
                f"{self.package}/{name}.py needs the Python package {error.name}, which is not installed; add it to "
                f"{self.folder / REQUIREMENTS} and install that file"
            ) from error
        except LooplineError:
            raise
        except Exception as error:
            raise LooplineError(
                f"{self.folder / name}.py cannot be imported: {type(error).__name__}: {error}"
            ) from error


def load(package: str) -> UseCase:
    """Load the use case ``package.module``.

    Raises:
        LooplineError: there is no such package, it has no usecase.yaml, or that file is invalid.
    """
    folder = _folder(package)
    path = folder / SPEC_FILE
    if not path.is_file():
        raise LooplineError(
            f"{package} is not a use case: {path} does not exist; `loopline new-usecase NAME` makes a working one"
        )
    return UseCase(package, folder, read_spec(path))


def read_spec(path: Path) -> UseCaseSpec:
    """Read and check a usecase.yaml.

    Raises:
        LooplineError: it is not YAML, or a value is wrong; the message names the key and, for a typo, the likely one.
    """
    return read_yaml(path, UseCaseSpec)


def _folder(package: str) -> Path:
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    locations = list(found.submodule_search_locations or []) if found else []
    if not locations:
        raise LooplineError(
            f"there is no use case '{package}': no Python package of that name can be imported from here; "
            "give it as package.module, for example loopline.usecases.flights"
        )
    return Path(locations[0])

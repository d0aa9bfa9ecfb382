"""Triton on a laptop: NVIDIA's wheel of the server, with our ONNX Runtime backend beside its Python backend."""

import os
import shutil
import sysconfig
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from loopline import project
from loopline.components.io import atomic

FOLDER = project.ROOT / ".venv-triton"
BACKEND = Path(__file__).parent / "triton_backend" / "onnxruntime"
PYTHON = "3.11"


@dataclass(frozen=True)
class Triton:
    """An installed server.

    Attributes:
        packages: the environment that `make setup-serving` creates.
    """

    packages: Path = FOLDER

    @property
    def program(self) -> Path:
        """The server's executable."""
        return self._server / "bin" / "tritonserver"

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which the server and its Python stub find their libraries and packages."""
        libraries = [str(self.packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
        return {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PYTHONPATH": str(self.packages)}

    def missing(self) -> str:
        """Why it cannot be used on this machine; empty if it can."""
        if not self.program.is_file():
            return "Triton is not installed (run `make setup-serving`; Linux on x86-64 only)"
        library = Path(sysconfig.get_config_var("LIBDIR") or "/") / f"libpython{PYTHON}.so.1.0"
        if not library.is_file() and not find_library(f"python{PYTHON}"):
            return f"Triton needs the shared library of Python {PYTHON} (Debian's package libpython{PYTHON})"
        return ""

    def install_backends(self, folder: Path) -> None:
        """Copy the backends into a folder: Triton follows no links, and wants the stub beside the Python backend."""
        with atomic.new_folder(folder) as made:
            shutil.copytree(self._server / "backends" / "python", made / "python")
            stub = self._server / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
            shutil.copy2(stub, made / "python")
            shutil.copytree(BACKEND, made / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))

    @property
    def _server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

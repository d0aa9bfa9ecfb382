"""The model artifact: an ONNX graph in a Triton repository, its weights as safetensors, and a signature.

Layout::

    model.json                               format, name, signature, facts, files {path: digest}, digest
    weights.safetensors                      weights, to continue training from
    repository/<name>/config.pbtxt           the Triton model repository, served as is
    repository/<name>/1/model.onnx           raw features in, probability or prediction out
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from loopline.components.contract.dataset import read_manifest
from loopline.components.contract.signature import Signature
from loopline.components.errors import CorruptArtifactError
from loopline.components.io import digest

FORMAT = "loopline.model/2"
MANIFEST = "model.json"


@dataclass(frozen=True)
class Model:
    """A packaged model on disk.

    Attributes:
        facts: what it was trained on; part of its identity.
        provenance: which run and code revision made it; not part of its identity, so that repeating a training
            gives the same model.
        digest: of files, name, signature and facts.
    """

    path: Path
    name: str
    signature: Signature
    facts: Mapping[str, Any]
    provenance: Mapping[str, str]
    files: Mapping[str, str]
    digest: str

    @property
    def onnx(self) -> Path:
        """The graph that is served."""
        return self.path / "repository" / self.name / "1" / "model.onnx"

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> Self:
        """Open a model, by default checking its bytes against its digest.

        Raises:
            LooplineError: there is no model.
            CorruptArtifactError: a file is missing or changed.
        """
        path = Path(path)
        raw = read_manifest(path / MANIFEST, FORMAT, ("name", "signature", "facts", "provenance", "files", "digest"))
        signature = Signature.from_json(raw["signature"])
        model = cls(path, raw["name"], signature, raw["facts"], raw["provenance"], raw["files"], raw["digest"])
        if verify:
            model.verify()
        return model

    def verify(self) -> None:
        """Check every byte against the digests.

        Raises:
            CorruptArtifactError: a file is missing, added or changed.
        """
        found = _content(self.path)
        for name in sorted({*found, *self.files}):
            if found.get(name) != self.files.get(name):
                raise CorruptArtifactError(
                    f"{self.path / name} is not the file that this model was packaged with; fetch or package it again"
                )
        if _identity(self.name, self.signature, self.facts, self.files) != self.digest:
            raise CorruptArtifactError(
                f"{self.path / MANIFEST} was edited after packaging; fetch or package the model again"
            )


def seal(
    folder: Path,
    name: str,
    signature: Signature,
    facts: Mapping[str, Any],
    provenance: Mapping[str, str] | None = None,
) -> Model:
    """Write the manifest of a model whose other files are in ``folder``."""
    files = _content(folder)
    identity = _identity(name, signature, facts, files)
    manifest = {
        "format": FORMAT,
        "name": name,
        "signature": signature.to_json(),
        "facts": dict(facts),
        "provenance": dict(provenance or {}),
        "files": files,
        "digest": identity,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return Model(folder, name, signature, facts, dict(provenance or {}), files, identity)


def _content(folder: Path) -> dict[str, str]:
    return {name: value for name, value in digest.of_files(folder).items() if name != MANIFEST}


def _identity(name: str, signature: Signature, facts: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return digest.of_value({"name": name, "signature": signature.to_json(), "facts": dict(facts), "files": dict(files)})

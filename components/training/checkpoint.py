"""The checkpoint of a training: its progress after the last finished epoch, in one file, without pickle."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from loopline.components.io import storage
from loopline.components.training.fit import Progress

FILE = "checkpoint.safetensors"
_TRAINER = "trainer."


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of one training; each write replaces the one before.

    Attributes:
        uri: its folder, as path, file:// or s3://.
        identity: digest of everything the training depends on; the checkpoint of another training is ignored.
    """

    uri: str
    identity: str

    def read(self) -> Progress:
        """The last progress; an empty one if there is no file, or a damaged one, or that of another training.

        Raises:
            LooplineError: the folder cannot be reached.
        """
        if FILE not in storage.names(self.uri):
            return Progress()
        with tempfile.TemporaryDirectory(prefix="loopline-checkpoint-") as folder:
            file = storage.fetch(f"{self.uri}/{FILE}", Path(folder))
            try:
                with safe_open(file, "pt") as opened:
                    if (opened.metadata() or {}).get("identity") != self.identity:
                        return Progress()
                    tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            except SafetensorError:
                return Progress()
        return Progress(
            losses=tuple(tensors["losses"].tolist()),
            outputs=tensors["outputs"],
            final_epochs=int(tensors["final_epochs"]),
            trainer={name.removeprefix(_TRAINER): t for name, t in tensors.items() if name.startswith(_TRAINER)},
        )

    def write(self, progress: Progress) -> None:
        """Replace the checkpoint.

        Raises:
            LooplineError: the folder cannot be written.
        """
        tensors = {f"{_TRAINER}{name}": tensor.contiguous().cpu() for name, tensor in progress.trainer.items()}
        tensors["losses"] = torch.tensor(progress.losses, dtype=torch.float64)
        tensors["outputs"] = progress.outputs
        tensors["final_epochs"] = torch.tensor(progress.final_epochs)
        with tempfile.TemporaryDirectory(prefix="loopline-checkpoint-") as folder:
            file = Path(folder) / FILE
            save_file(tensors, file, metadata={"identity": self.identity})
            storage.put(file, f"{self.uri}/{FILE}")

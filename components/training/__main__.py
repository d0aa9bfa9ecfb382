"""``torchrun -m loopline.components.training``: one process of a distributed training.

Examples, weights and checkpoint may be in an object store: the first process of each node downloads the examples for
all of its processes, and the leader uploads the weights.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopline.components.contract import dataset
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.training.train import train
from loopline.components.training.world import World


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(prog="loopline.components.training", description=__doc__)
    parser.add_argument("--usecase", required=True, help="package of the use case")
    parser.add_argument("--examples", required=True, help="examples artifact, as path or URI")
    parser.add_argument("--weights", required=True, help="weights artifact to write, as path or URI")
    parser.add_argument("--checkpoint", default="", help="folder for the checkpoint, as path or URI; none by default")
    parser.add_argument("--tracking", default="", help="MLflow URI; none by default")
    options = parser.parse_args()
    try:
        run(options.usecase, options.examples, options.weights, options.checkpoint, options.tracking)
    except LooplineError as error:
        sys.exit(f"error: {error}")


def run(package: str, examples: str, weights: str, checkpoint: str, tracking: str) -> None:
    """Train as one of the processes that torchrun started.

    Raises:
        LooplineError: the examples cannot be trained on, or something cannot be read or written.
    """
    world = World.join()
    try:
        with (
            _fetched_once_per_node(examples, world) as local,
            tempfile.TemporaryDirectory(prefix="loopline-") as folder,
        ):
            local_weights = Path(folder) / "weights"
            train(package, local, local_weights, tracking, world=world, checkpoint=checkpoint)
            if world.is_leader:
                storage.put(local_weights, weights)
    finally:
        world.leave()


@contextmanager
def _fetched_once_per_node(uri: str, world: World) -> Iterator[Path]:
    """The examples on this node; a downloaded copy is deleted afterwards."""
    if "://" not in uri:
        yield Path(uri)
        return
    # Named after the torchrun process, the parent of all processes of this node, so that each of them finds it.
    folder = Path(tempfile.gettempdir()) / f"loopline-examples-{os.getppid()}"
    try:
        if world.is_node_leader:
            storage.fetch(uri, folder, manifest=dataset.MANIFEST)
        world.barrier()
        yield folder / Path(uri).name
        world.barrier()
    finally:
        if world.is_node_leader:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

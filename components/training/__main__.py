"""``torchrun -m loopline.components.training``: one process of a training that several share.

Examples, weights and checkpoint may lie in an object store: the first process of each node fetches the examples for
all of them, and the leader of the world puts the weights.
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
    parser.add_argument("--weights", required=True, help="weights artifact to make, as path or URI")
    parser.add_argument("--checkpoint", default="", help="folder to keep progress in, as path or URI; none if left out")
    parser.add_argument("--tracking", default="", help="MLflow URI; none if left out")
    given = parser.parse_args()
    try:
        run(given.usecase, given.examples, given.weights, given.checkpoint, given.tracking)
    except LooplineError as error:
        sys.exit(f"error: {error}")


def run(package: str, examples: str, weights: str, checkpoint: str, tracking: str) -> None:
    """Train as one of the processes that torchrun has started.

    Raises:
        LooplineError: the examples teach nothing, or a place cannot be read or written.
    """
    world = World.join()
    try:
        with _fetched_once_a_node(examples, world) as here, tempfile.TemporaryDirectory(prefix="loopline-") as made:
            made_weights = Path(made) / "weights"
            train(package, here, made_weights, tracking, world=world, checkpoint=checkpoint)
            if world.leads:
                storage.put(made_weights, weights)
    finally:
        world.leave()


@contextmanager
def _fetched_once_a_node(uri: str, world: World) -> Iterator[Path]:
    """The examples on this node; deleted again if they were fetched."""
    if "://" not in uri:
        yield Path(uri)
        return
    # Named after the torchrun that started all processes of this node, so that each of them knows it.
    folder = Path(tempfile.gettempdir()) / f"loopline-examples-{os.getppid()}"
    try:
        if world.leads_node:
            storage.fetch(uri, folder, manifest=dataset.MANIFEST)
        world.wait()
        yield folder / Path(uri).name
        world.wait()
    finally:
        if world.leads_node:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

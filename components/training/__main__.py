"""``torchrun --nproc-per-node N -m components.training``: the train step on several processes or GPUs."""

import argparse
import sys

from components.contract.errors import LooplineError
from components.training.train import train


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(prog="components.training", description=__doc__)
    parser.add_argument("--usecase", required=True, help="package of the use case")
    parser.add_argument("--examples", required=True, help="examples artifact")
    parser.add_argument("--weights", required=True, help="weights artifact to make")
    parser.add_argument("--tracking", default="", help="MLflow URI; none if left out")
    given = parser.parse_args()
    try:
        train(given.usecase, given.examples, given.weights, given.tracking)
    except LooplineError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""Entry point of the SparkApplication: predicts on Spark; leaves the message of an error beside the output."""

import argparse
import sys
import tempfile
from pathlib import Path

from loopline.components.errors import LooplineError
from loopline.components.inference.spark_application import ARGUMENTS, failure_uri
from loopline.components.inference.spark_job import predict_on
from loopline.components.io import storage


def main() -> None:
    """Read the arguments that `loopline.components.inference.spark_engine` passes, and predict."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only in the image of Spark

    parser = argparse.ArgumentParser(prog="loopline.components.inference")
    for name in ARGUMENTS:
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    try:
        predict_on(spark, given.usecase, given.model, given.version, given.examples, given.quarantine, given.output)
    except LooplineError as error:
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder) / "failure"
            note.write_text(str(error), encoding="utf-8")
            storage.put(note, failure_uri(given.output))
        sys.exit(f"error: {error}")
    finally:
        spark.stop()


if __name__ == "__main__":
    main()

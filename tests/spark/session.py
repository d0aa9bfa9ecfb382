"""A Spark session of two cores on this machine, and why there may be none."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
# Beside the environment, not in it: pandera imports a PySpark that it finds, which makes every data step slower.
PYSPARK = PROJECT / "build" / "pyspark"


def lacking() -> str:
    """Why Spark cannot run here; nothing if it can."""
    if PYSPARK.is_dir() and str(PYSPARK) not in sys.path:
        sys.path.append(str(PYSPARK))
    if importlib.util.find_spec("pyspark") is None:
        return "PySpark is not installed: make test-spark installs it."
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        return "Spark needs Java 17, and there is no java: install a headless JRE."
    return ""


def start() -> Any:
    """A session; its workers run this Python and import this project."""
    from pyspark.sql import SparkSession

    os.environ.update(
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        PYTHONPATH=os.pathsep.join([str(PROJECT / "src"), str(PROJECT), str(PYSPARK)]),
    )
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.executorEnv.OMP_NUM_THREADS": "1",
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session

"""Run every benchmark (or those named), print a table, write bench.json."""

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "compiling",
    "step_overhead",
    "point_in_time_join",
    "batch_inference",
    "spark_batch",
    "model_quality",
    "canary_decisions",
    "whole_loop",
)
RESULTS = Path("bench.json")


def main() -> None:
    """Measure, print, write."""
    console = Console()
    rows = []
    for name in sys.argv[1:] or BENCHMARKS:
        console.print(f"measuring {name} ...")
        rows += importlib.import_module(f"tests.bench.{name}").measure()
    table = Table("what", "value", "unit", "peer", "ratio")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        table.add_row(row["name"], f"{row['value']:.4g}", row["unit"], row["peer"], ratio)
    console.print(table)
    RESULTS.write_text(json.dumps(rows, indent=1))
    console.print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()

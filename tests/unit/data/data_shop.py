"""A small use case that tests write to disk: a shop whose orders are returned or not."""

import importlib
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

START, END = "2024-03-02", "2024-03-04"
# Tables are the Parquet files beside source.py, or what a test sets instead: frames that no file can hold, too.
SOURCE = """
from pathlib import Path

import pyarrow.parquet as pq

given = {}


def tables(start, end):
    return {path.stem: pq.read_table(path) for path in Path(__file__).parent.glob("*.parquet")} | given
"""
SPEC = f"""
name: shop
description: Will this order come back?
task: binary_classification
entity: {{table: orders, keys: [order_id], timestamp: placed_at}}
label: {{column: returned, known_at: settled_at}}
tables:
  orders:
    key: [order_id]
    timestamp: placed_at
    freshness: 12h
    volume: {{rows_per_day: [12, 36]}}
    bad_rows_allowed: 0.1
    columns:
      order_id: {{type: integer, min: 1}}
      shop: {{type: string, allowed: [north, south]}}
      amount: {{type: float, nullable: true, min: 0, max: 1000}}
      express: {{type: boolean}}
      placed_at: {{type: timestamp}}
      settled_at: {{type: timestamp, nullable: true}}
      returned: {{type: integer, nullable: true, allowed: [0, 1]}}
  shops:
    key: [shop]
    columns:
      shop: {{type: string}}
      opened: {{type: integer, nullable: true}}
features: {{request: [shop, amount], lookback: 1d}}
validation: {{gates: [{{metric: auc, min: 0.5}}]}}
retrain: {{window: 2d, metric: auc}}
replay:
  train: [{START}, {END}]
  validate: [{START}, {END}]
  batch: [{START}, {END}]
  compare: [{START}, {END}]
"""
_numbers = itertools.count()


def orders() -> pd.DataFrame:
    """An order an hour from the day before the window to its end: 72 good rows."""
    moments = [datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(72)]
    return pd.DataFrame(
        {
            "order_id": range(1, 73),
            "shop": ["north", "south", "south"] * 24,
            "amount": [float(i % 50) for i in range(72)],
            "express": [True, False] * 36,
            "placed_at": moments,
            "settled_at": [moment + timedelta(days=2) for moment in moments],
            "returned": [0, 1] * 36,
        }
    )


def shops() -> pd.DataFrame:
    return pd.DataFrame({"shop": ["north", "south"], "opened": [1999, 2004]})


@dataclass
class Shop:
    """The use case on disk, importable as ``package``."""

    package: str
    folder: Path

    def give(self, **tables: pd.DataFrame | pa.Table) -> None:
        """Replace some tables of the source."""
        importlib.import_module(f"{self.package}.source").given.update(tables)

    def source(self, code: str) -> None:
        (self.folder / "source.py").write_text(code)

    def spec(self, table: str, **changes: Any) -> None:
        """Change keys of a table in usecase.yaml; None takes a key out."""
        spec = yaml.safe_load((self.folder / "usecase.yaml").read_text())
        spec["tables"][table].update(changes)
        spec["tables"][table] = {key: value for key, value in spec["tables"][table].items() if value is not None}
        (self.folder / "usecase.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


def make_shop(root: Path) -> Shop:
    """Write the use case below a folder that is on sys.path; the package's name is new each time."""
    package = f"shop_{next(_numbers)}"
    shop = Shop(package, root / package)
    shop.folder.mkdir()
    (shop.folder / "__init__.py").touch()
    (shop.folder / "usecase.yaml").write_text(SPEC)
    shop.source(SOURCE)
    for name, table in {"orders": orders(), "shops": shops()}.items():
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), shop.folder / f"{name}.parquet")
    return shop

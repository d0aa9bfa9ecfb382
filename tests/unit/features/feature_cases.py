"""Ten days of real flights, and a small use case that a test can bend."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.window import iso

TIMESTAMP = pa.timestamp("us", tz="UTC")
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
FLIGHTS = "loopline.usecases.flights"
START, END = "2013-02-01", "2013-02-11"


@dataclass(frozen=True)
class Flights:
    """Raw tables of a window, as a validated dataset, and the history built from it."""

    tables: dict[str, pa.Table]
    data: Path
    history: Dataset


def write_data(path: Path, tables: dict[str, pa.Table], start: datetime, end: datetime) -> Path:
    dataset.write(path, tables, {"window": [iso(start), iso(end)]})
    return path


SPEC = """
name: parcels
description: How many minutes will a parcel take?
task: regression
entity: {table: orders, keys: [order], timestamp: placed_at, lead: 10m}
label: {column: minutes, known_at: delivered_at}
tables:
  orders:
    timestamp: placed_at
    columns:
      order: {type: string}
      shop: {type: string, nullable: true}
      weight: {type: float, nullable: true}
      placed_at: {type: timestamp}
      delivered_at: {type: timestamp, nullable: true}
      minutes: {type: float, nullable: true}
  visits:
    columns:
      shop: {type: string, nullable: true}
      seen_at: {type: timestamp, nullable: true}
      visitors: {type: integer, nullable: true}
features: {request: [weight], stored: [busy], lookback: 1d}
validation: {gates: [{metric: rmse, max: 1}]}
retrain: {window: 1d, metric: rmse}
replay: {train: [2020-01-01, 2020-01-02], validate: [2020-01-02, 2020-01-03], batch: [2020-01-03, 2020-01-04],
         compare: [2020-01-04, 2020-01-05]}
"""

FEATURES = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float32, Float64, Int64, String, UnixTimestamp

shop = Entity(name="store", join_keys=["shop"], value_type=ValueType.STRING)

def view(name, ttl=timedelta(hours=1), entities=(shop,), source={}, **schema):
    return FeatureView(
        name=name, entities=list(entities), ttl=ttl,
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in schema.items()],
        source=FileSource(path=f"{name}.parquet", timestamp_field="event_timestamp", **source),
    )

busy = view("busy", visitors=Int64)
HISTORY = {"busy": "select shop, seen_at as event_timestamp, visitors from visits"}
"""


@dataclass
class Parcels:
    """A use case on disk, and where its artifacts go."""

    package: str
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def history(self) -> Path:
        return self.folder / "history"

    def write(self, orders: list[tuple[Any, ...]], visits: list[tuple[Any, ...]]) -> None:
        """Write orders (order, shop, weight, placed, delivered, minutes) and visits (shop, seen, visitors)."""
        columns = list(zip(*orders, strict=True)) or [()] * 6
        seen = list(zip(*visits, strict=True)) or [()] * 3
        tables = {
            "orders": pa.table(
                {
                    "order": pa.array(columns[0], pa.string()),
                    "shop": pa.array(columns[1], pa.string()),
                    "weight": pa.array(columns[2], pa.float64()),
                    "placed_at": after_noon(columns[3]),
                    "delivered_at": after_noon(columns[4]),
                    "minutes": pa.array(columns[5], pa.float64()),
                }
            ),
            "visits": pa.table(
                {
                    "shop": pa.array(seen[0], pa.string()),
                    "seen_at": after_noon(seen[1]),
                    "visitors": pa.array(seen[2], pa.int64()),
                }
            ),
        }
        write_data(self.data, tables, NOON, NOON + timedelta(hours=1))


def after_noon(minutes: Any) -> pa.Array:
    return pa.array([None if value is None else NOON + timedelta(minutes=value) for value in minutes], TIMESTAMP)


Make = Callable[..., Parcels]

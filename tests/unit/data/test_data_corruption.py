"""Whatever is broken in a table: no row is lost, none is changed, and exactly the broken ones are quarantined."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from data_shop import END, START, Shop, make_shop, orders
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.contract.dataset import Dataset
from loopline.components.data.ingest import ingest
from loopline.components.data.validate import validate_data

Row = dict[str, Any]


def change(column: str, value: Any) -> Callable[[Row, Row], None]:
    return lambda row, _: row.update({column: value})


def shift(days: int) -> Callable[[Row, Row], None]:
    return lambda row, _: row.update(placed_at=row["placed_at"] + timedelta(days=days))


# What can happen to a row, given another row.
CORRUPTIONS: dict[str, Callable[[Row, Row], None]] = {
    "no key": change("order_id", None),
    "no shop": change("shop", None),
    "unknown shop": change("shop", "west"),
    "too dear": change("amount", 1e9),
    "below zero": change("amount", -1.0),
    "infinite": change("amount", float("inf")),
    "text in a number": change("amount", "twelve"),
    "missing where it may be": change("amount", None),
    "future": shift(30),
    "past": shift(-30),
    "duplicate": lambda row, other: row.update(order_id=other["order_id"]),
}


def is_bad(row: Row) -> bool:
    amount = row["amount"]
    bad_amount = amount == "twelve" or (amount is not None and not 0 <= amount <= 1000)
    in_time = pd.Timestamp("2024-03-01", tz="UTC") <= row["placed_at"] < pd.Timestamp(END, tz="UTC")
    return row["order_id"] is None or row["shop"] not in {"north", "south"} or bad_amount or not in_time


def expected_bad(rows: list[Row]) -> list[int]:
    """The rule in plain Python, row by row."""
    bad: list[int] = []
    keys: set[int] = set()
    for i, row in enumerate(rows):
        if is_bad(row) or row["order_id"] in keys:
            bad.append(i)
        else:
            keys.add(row["order_id"])
    return bad


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop that refuses no batch."""
    root = tmp_path_factory.mktemp("lenient")
    sys.path.insert(0, str(root))
    shop = make_shop(root)
    shop.spec("orders", freshness=None, volume=None, bad_rows_allowed=1.0)
    yield shop
    sys.path.remove(str(root))


positions = st.integers(24, 35)  # the first hours of the window
corruption = st.tuples(positions, st.sampled_from(sorted(CORRUPTIONS)), positions)


@settings(max_examples=25)
@given(corruptions=st.lists(corruption, max_size=12))
def test_rows_in_are_rows_out_and_quarantined(lenient: Shop, corruptions: list[tuple[int, str, int]]) -> None:
    rows = orders().iloc[:40].to_dict("records")
    for at, kind, other in corruptions:
        CORRUPTIONS[kind](rows[at], rows[other])
    lenient.give(orders=pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]}))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ingest(lenient.package, START, END, root / "raw")
        validated = validate_data(lenient.package, root / "raw", root / "data", root / "quarantine", root / "page.html")
        raw = Dataset.open(root / "raw").read("orders")
        data, quarantine = validated.data.read("orders"), validated.quarantine.read("orders")

    bad = expected_bad(rows)
    good = [i for i in range(len(rows)) if i not in bad]
    facts = validated.data.facts
    assert (facts["rows_in"]["orders"], facts["rows_out"]["orders"]) == (len(rows), len(good))
    assert data.to_pylist() == [rows[i] for i in good]
    assert quarantine.drop_columns(["reason"]).equals(raw.take(pa.array(bad, pa.int64())))
    assert all(quarantine.column("reason").to_pylist())
    assert sum(facts["reasons"]["orders"].values()) == sum(
        len(reason.split("; ")) for reason in quarantine.column("reason").to_pylist()
    )

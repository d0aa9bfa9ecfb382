"""Validation: bad rows go to quarantine with reasons, good ones stay as they are, and bad batches stop the run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from data_shop import END, START, Shop, orders, shops

from loopline.components.contract.dataset import Dataset
from loopline.components.data.ingest import ingest
from loopline.components.data.validate import Validated, validate_data
from loopline.components.errors import CorruptArtifactError, LooplineError


def run(shop: Shop, folder: Path) -> Validated:
    ingest(shop.package, START, END, folder / "raw")
    return validate_data(shop.package, folder / "raw", folder / "data", folder / "quarantine", folder / "profile.html")


def with_value(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = orders()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


def test_good_data_passes_untouched(shop: Shop, tmp_path: Path) -> None:
    validated = run(shop, tmp_path)
    raw = Dataset.open(tmp_path / "raw")
    for name in ("orders", "shops"):
        assert validated.data.read(name).equals(raw.read(name))
        assert validated.quarantine.rows(name) == 0
        assert validated.quarantine.read(name).column_names == [*raw.read(name).column_names, "reason"]
    facts = validated.data.facts
    assert facts["window"] == raw.facts["window"]
    assert facts["lookback_start"] == raw.facts["lookback_start"]
    assert facts["raw"] == raw.digest
    assert facts["rows"] == facts["rows_in"] == facts["rows_out"] == {"orders": 72, "shops": 2}
    assert facts["rows_quarantined"] == {"orders": 0, "shops": 0}
    assert validated.metrics()["orders_quarantined_share"] == 0


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("order_id", None, "order_id is missing"),
        ("order_id", 0, "order_id is below 1"),
        ("order_id", "A-17", "order_id cannot be read as integer"),
        ("order_id", 2.5, "order_id cannot be read as integer"),
        ("shop", "west", "shop is not one of north, south"),
        ("amount", 1000.5, "amount is above 1000"),
        ("amount", -0.01, "amount is below 0"),
        ("amount", float("-inf"), "amount is infinite; amount is below 0"),
        ("express", None, "express is missing"),
        ("express", "maybe", "express cannot be read as boolean"),
        ("returned", 2, "returned is not one of 0, 1"),
        ("settled_at", "soon", "settled_at cannot be read as timestamp"),
        (
            "placed_at",
            datetime(2024, 3, 4, tzinfo=UTC),
            "in the future: placed_at is not before 2024-03-04, the end of the window",
        ),
        (
            "placed_at",
            datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
            "before the window: placed_at is before 2024-03-01, where window and lookback begin",
        ),
        ("placed_at", None, "placed_at is missing"),
    ],
)
def test_a_bad_value_quarantines_its_row(shop: Shop, tmp_path: Path, column: str, value: Any, reason: str) -> None:
    shop.give(orders=with_value(40, column, value))
    validated = run(shop, tmp_path)
    (bad,) = validated.quarantine.read("orders").to_pylist()
    assert bad["reason"] == reason
    assert bad["amount"] in {"40.0", 40.0} or column == "amount"
    assert validated.quarantine.facts["reasons"] == {"orders": dict.fromkeys(reason.split("; "), 1), "shops": {}}
    good = pd.concat([orders().iloc[:40], orders().iloc[41:]])
    assert validated.data.read("orders").column("settled_at").to_pylist() == good["settled_at"].tolist()
    assert str(validated.data.read("orders").schema.field(column).type) == str(
        Dataset.open(tmp_path / "data").tables["orders"]["columns"][column]
    )
    assert validated.data.facts["rows_in"]["orders"] == 72
    assert validated.data.facts["rows_out"]["orders"] == 71
    assert validated.quarantine.facts["rows_quarantined"]["orders"] == 1


def test_values_that_may_be_missing_or_at_the_limit_pass(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[0, "amount"], frame.loc[1, "amount"], frame.loc[2, "amount"] = 0, 1000, None
    frame.loc[3, ["settled_at", "returned"]] = None
    shop.give(orders=frame)
    assert run(shop, tmp_path).quarantine.rows("orders") == 0


def test_a_row_gets_all_of_its_reasons(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[7, "shop"], frame.loc[7, "amount"], frame.loc[7, "order_id"] = None, -3, -1
    shop.give(orders=frame)
    (bad,) = run(shop, tmp_path).quarantine.read("orders").to_pylist()
    assert bad["reason"] == "order_id is below 1; shop is missing; amount is below 0"


def test_the_first_good_row_with_a_key_keeps_it(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[[5, 6, 30], "order_id"] = 20
    frame.loc[5, "shop"] = "west"
    shop.give(orders=frame)
    validated = run(shop, tmp_path)
    bad = validated.quarantine.read("orders").select(["amount", "reason"]).to_pylist()
    duplicate = "duplicate: an earlier row has the same order_id"
    assert bad == [
        {"amount": 5.0, "reason": "shop is not one of north, south"},
        {"amount": 19.0, "reason": duplicate},
        {"amount": 30.0, "reason": duplicate},
    ]
    assert validated.data.facts["reasons"]["orders"] == {duplicate: 2, "shop is not one of north, south": 1}
    assert next(iter(validated.data.facts["reasons"]["orders"])) == duplicate, "the most frequent first"
    assert validated.data.read("orders").column("amount").to_pylist()[5] == 6.0


def test_validating_twice_gives_the_same_bytes(shop: Shop, tmp_path: Path) -> None:
    shop.give(orders=with_value(3, "amount", "n.a."))
    first, second = run(shop, tmp_path / "a"), run(shop, tmp_path / "b")
    assert (first.data.digest, first.quarantine.digest) == (second.data.digest, second.quarantine.digest)
    assert (tmp_path / "a/profile.html").read_bytes() == (tmp_path / "b/profile.html").read_bytes()


def refused(shop: Shop, folder: Path) -> str:
    with pytest.raises(LooplineError) as error:
        run(shop, folder)
    assert not (folder / "data").exists()
    return str(error.value)


def test_too_many_bad_rows_stop_the_run_and_can_be_looked_at(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[10:17, "shop"] = "west"
    frame.loc[10, "amount"] = 2_000
    shop.give(orders=frame)
    message = refused(shop, tmp_path)
    assert "table orders has 8 bad rows in 72 (11.11%) where bad_rows_allowed is 10.00%: " in message
    assert "shop is not one of north, south (8 rows), amount is above 1000 (1 rows)" in message
    assert str(tmp_path / "quarantine") in message
    quarantine = Dataset.open(tmp_path / "quarantine")
    assert quarantine.read("orders").column("order_id").to_pylist() == list(range(11, 19))
    assert "This batch is rejected" in (tmp_path / "profile.html").read_text()


def test_exactly_the_allowed_share_passes(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[10:17, "shop"] = "west"
    shop.give(orders=frame)
    shop.spec("orders", bad_rows_allowed=8 / 72)
    assert run(shop, tmp_path).quarantine.rows("orders") == 8


def test_a_whole_column_of_the_wrong_type_stops_the_run(shop: Shop, tmp_path: Path) -> None:
    shop.give(orders=orders().assign(placed_at=[f"day {i}" for i in range(72)]))
    message = refused(shop, tmp_path)
    assert "72 bad rows in 72 (100.00%)" in message
    assert "placed_at cannot be read as timestamp (72 rows)" in message


def test_a_source_that_ignores_the_window_is_told_so(shop: Shop, tmp_path: Path) -> None:
    frame = orders()
    frame["placed_at"] += timedelta(days=2)
    shop.give(orders=frame)
    assert "in the future: placed_at is not before 2024-03-04, the end of the window (48 rows)" in refused(
        shop, tmp_path
    )


def test_a_stale_batch(shop: Shop, tmp_path: Path) -> None:
    shop.give(orders=orders().iloc[:59])
    message = refused(shop, tmp_path)
    assert "table orders is stale: its newest row is of 2024-03-03T10:00:00, 14.0 h before the end" in message
    assert "where freshness is 12.0 h" in message


def test_a_future_row_does_not_make_a_batch_fresh(shop: Shop, tmp_path: Path) -> None:
    frame = orders().iloc[:59].copy()
    frame.loc[58, "placed_at"] += timedelta(days=9)
    shop.give(orders=frame)
    assert "table orders is stale: its newest row is of 2024-03-03T09:00:00" in refused(shop, tmp_path)


@pytest.mark.parametrize(
    ("rows_per_day", "verdict"), [([25, 30], "refused"), ([1, 23], "refused"), ([24, 24], "passes")]
)
def test_volume_outside_the_reference(shop: Shop, tmp_path: Path, rows_per_day: list[int], verdict: str) -> None:
    """The 48 rows of the two days asked for count; the 24 of the lookback do not."""
    shop.spec("orders", volume={"rows_per_day": rows_per_day})
    if verdict == "passes":
        assert run(shop, tmp_path).data.rows("orders") == 72
    else:
        low, high = rows_per_day
        assert f"table orders has 24.0 rows per day in the window where volume is {low} to {high}" in refused(
            shop, tmp_path
        )


def test_every_broken_expectation_is_named(shop: Shop, tmp_path: Path) -> None:
    shop.give(orders=orders().iloc[:26].assign(express=None))
    shop.give(shops=pd.concat([shops(), shops()]))
    message = refused(shop, tmp_path)
    assert "table orders has 26 bad rows" in message
    assert "table orders has no good row, but freshness requires one within 12.0 h" in message
    assert "table orders has 0.0 rows per day" in message
    assert "table shops has 2 bad rows in 4" in message


def test_an_empty_table_beside_the_entity_passes_if_nothing_is_expected_of_it(shop: Shop, tmp_path: Path) -> None:
    shop.give(shops=shops().iloc[:0])
    assert run(shop, tmp_path).data.rows("shops") == 0


def test_an_all_missing_column_passes_where_it_may_be_missing(shop: Shop, tmp_path: Path) -> None:
    shop.give(orders=orders().assign(amount=None))
    validated = run(shop, tmp_path)
    assert validated.data.read("orders").schema.field("amount").type == pa.float64()
    assert validated.data.facts["profile"]["orders"]["columns"]["amount"]["missing"] == 1.0


def test_a_corrupt_raw_dataset_is_not_validated(shop: Shop, tmp_path: Path) -> None:
    ingest(shop.package, START, END, tmp_path / "raw")
    file = tmp_path / "raw" / "orders.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptArtifactError):
        validate_data(shop.package, tmp_path / "raw", tmp_path / "data", tmp_path / "q", tmp_path / "p.html")


def test_flights_of_three_days_are_clean(tmp_path: Path) -> None:
    ingest("loopline.usecases.flights", "2013-02-05", "2013-02-08", tmp_path / "raw")
    validated = validate_data(
        "loopline.usecases.flights",
        tmp_path / "raw",
        tmp_path / "data",
        tmp_path / "quarantine",
        tmp_path / "profile.html",
    )
    assert validated.data.rows("flights") == 4475
    assert validated.data.facts["rows_quarantined"] == {"flights": 0, "weather": 0, "planes": 0}
    assert validated.data.read("weather").num_rows == 3 * 24 * 5

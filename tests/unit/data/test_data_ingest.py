"""Ingest: the tables of the source in the declared types, and one sentence for everything that is wrong with them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_shop import END, START, Shop, orders, shops

from loopline.components.contract.dataset import Dataset
from loopline.components.data.ingest import ingest
from loopline.components.errors import LooplineError


def load(shop: Shop, tmp_path: Path, start: str = START, end: str = END) -> Dataset:
    return ingest(shop.package, start, end, tmp_path / "raw")


def test_tables_arrive_whole_in_order_and_declared_types(shop: Shop, tmp_path: Path) -> None:
    raw = load(shop, tmp_path)
    table = raw.read("orders")
    assert table.column("order_id").to_pylist() == list(range(1, 73))
    assert {field.name: str(field.type) for field in table.schema} == {
        "order_id": "int64",
        "shop": "string",
        "amount": "double",
        "express": "bool",
        "placed_at": "timestamp[us, tz=UTC]",
        "settled_at": "timestamp[us, tz=UTC]",
        "returned": "int64",
    }
    assert raw.facts == {
        "usecase": shop.package,
        "window": ["2024-03-02", "2024-03-04"],
        "lookback_start": "2024-03-01",
        "rows": {"orders": 72, "shops": 2},
        "source": None,
    }


def test_the_same_source_gives_the_same_bytes(shop: Shop, tmp_path: Path) -> None:
    assert load(shop, tmp_path / "a").digest == load(shop, tmp_path / "b").digest


def test_the_source_is_asked_for_window_and_lookback_in_utc(shop: Shop, tmp_path: Path) -> None:
    shop.source(
        "import pathlib, pyarrow.parquet as pq\n"
        "folder = pathlib.Path(__file__).parent\n"
        "def tables(start, end):\n"
        "    (folder / 'asked').write_text(f'{start.isoformat()} {end.isoformat()}')\n"
        "    return {name: pq.read_table(folder / f'{name}.parquet') for name in ('orders', 'shops')}\n"
        "def fingerprint():\n"
        "    return 'version 3'\n"
    )
    raw = load(shop, tmp_path, "2024-03-02T01:00+01:00", END)
    assert (shop.folder / "asked").read_text() == "2024-03-01T00:00:00+00:00 2024-03-04T00:00:00+00:00"
    assert raw.facts["source"] == "version 3"


def test_pandas_frames_are_taken_as_they_come(shop: Shop, tmp_path: Path) -> None:
    """Naive times, integers turned float by a missing value, text and numbers mixed, an index that means nothing."""
    frame = orders()
    frame["placed_at"] = frame["placed_at"].dt.tz_localize(None)
    frame["returned"] = frame["returned"].where(frame["order_id"] > 3)
    frame["amount"] = frame["amount"].astype(object)
    frame.loc[5, "amount"] = "twelve"
    frame = frame.set_index(np.arange(72)[::-1])
    shop.give(orders=frame, shops=shops())
    table = load(shop, tmp_path).read("orders")
    assert str(table.schema.field("placed_at").type) == "timestamp[us, tz=UTC]"
    assert table.column("returned").to_pylist()[:5] == [None, None, None, 1, 0]
    assert str(table.schema.field("amount").type) == "string", "a value that cannot be read is left for quarantine"
    assert table.column("amount").to_pylist()[4:7] == ["4.0", "twelve", "6.0"]


def test_flights_of_three_days(tmp_path: Path) -> None:
    raw = ingest("loopline.usecases.flights", "2013-02-05", "2013-02-08", tmp_path / "raw")
    assert raw.rows("flights") == 4475, "five days, lookback included"
    assert raw.facts["window"] == ["2013-02-05T05:00:00", "2013-02-08T05:00:00"], "midnight in New York"
    assert raw.read("flights", ["distance"]).schema.field("distance").type == pa.float64()
    assert raw.facts["source"].startswith("sha256:")


def drop(*columns: str) -> pd.DataFrame:
    return orders().drop(columns=list(columns))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"orders": orders().assign(foo=1)},
            "table orders has a column foo that usecase.yaml does not list; list it or",
        ),
        (
            {"orders": orders().rename(columns={"amount": "amout"})},
            "table orders has a column amout that usecase.yaml does not list (did you mean amount?)",
        ),
        (
            {"orders": drop("amount", "shop")},
            "table orders lacks a column that usecase.yaml lists: shop, amount; give it",
        ),
        ({"returns": shops()}, "source.py has a table returns that usecase.yaml does not list"),
        ({"orders": orders().iloc[:0]}, "table orders has no row in the window from 2024-03-02 to 2024-03-04 (UTC)"),
        ({"orders": orders().iloc[:24]}, "table orders has no row in the window"),
        (
            {"shops": pa.table({"shop": ["north"], "opened": [[1999, 2004]]})},
            "table shops: column opened of Arrow type list<item: int64> cannot be read as integer",
        ),
        (
            {"shops": pa.table({"shop": pa.array([b"\xff"]), "opened": [1999]})},
            "table shops: column shop of Arrow type binary cannot be read as string",
        ),
    ],
)
def test_tables_that_are_not_those_of_usecase_yaml(
    shop: Shop, tmp_path: Path, tables: dict[str, pd.DataFrame], message: str
) -> None:
    shop.give(**tables)
    with pytest.raises(LooplineError) as error:
        load(shop, tmp_path)
    assert message in str(error.value)
    assert not (tmp_path / "raw").exists()


def test_a_table_is_missing(shop: Shop, tmp_path: Path) -> None:
    (shop.folder / "shops.parquet").unlink()
    with pytest.raises(LooplineError, match=r"source\.py lacks a table that usecase\.yaml lists: shops"):
        load(shop, tmp_path)


def test_a_column_twice(shop: Shop, tmp_path: Path) -> None:
    shop.give(shops=pa.Table.from_arrays([pa.array(["north"])] * 2, ["shop", "shop"]))
    with pytest.raises(LooplineError, match="table shops has a column shop twice"):
        load(shop, tmp_path)


def test_a_truncated_parquet_file(shop: Shop, tmp_path: Path) -> None:
    file = shop.folder / "orders.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(LooplineError) as error:
        load(shop, tmp_path)
    assert f"the source of {shop.package} failed at {shop.folder / 'source.py'} line 10: ArrowInvalid: " in str(
        error.value
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("open('no/such/orders.csv')", "line 2: FileNotFoundError: [Errno 2] No such file or directory"),
        ("zipfile.ZipFile(io.BytesIO(b'PK truncated'))", "line 2: BadZipFile: File is not a zip file"),
        ("zlib.decompress(zlib.compress(b'x' * 999)[:-5])", "line 2: error: Error -5 while decompressing data"),
        ("csv.read_csv(io.BytesIO(b'a,b\\n1,2\\n3'))", "line 2: ArrowInvalid: CSV parse error"),
        ("{}['orders']", "line 2: KeyError: 'orders'"),
        ("raise_(ValueError())", "ValueError: no message"),
        ("raise_(LooplineError('the orders are on tape 7'))", "the orders are on tape 7"),
        ("[1]", "returns a list; it has to return a dict of tables by name"),
        ("{'orders': [1], 'shops': [2]}", "returns table orders as a list; it has to be a pyarrow.Table or"),
    ],
)
def test_whatever_the_source_does_wrong_is_one_sentence(shop: Shop, tmp_path: Path, body: str, message: str) -> None:
    shop.source(
        f"def tables(start, end):\n    return {body}\n"
        "import io, zipfile, zlib\nfrom pyarrow import csv\nfrom loopline.components.errors import LooplineError\n"
        "def raise_(error):\n    raise error\n"
    )
    with pytest.raises(LooplineError) as error:
        load(shop, tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("TABLES = {}", "has no function tables(start, end)"),
        ("def tables(start, end)", "cannot be imported: SyntaxError"),
        ("import warehouse_client", "needs the Python package warehouse_client, which is not installed"),
        ("def fingerprint():\n    raise OSError('no route')\ndef tables(start, end): ...", "OSError: no route"),
    ],
)
def test_a_source_that_does_not_work_at_all(shop: Shop, tmp_path: Path, code: str, message: str) -> None:
    shop.source(code)
    with pytest.raises(LooplineError) as error:
        load(shop, tmp_path)
    assert message in str(error.value)


def test_a_window_that_ends_before_it_starts(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(LooplineError, match="is empty: its end must come after its start"):
        load(shop, tmp_path, END, START)


def test_an_unreadable_timestamp_column_is_no_empty_window(shop: Shop, tmp_path: Path) -> None:
    """Its values are bad, which is for validation to say; that nothing happened would be untrue."""
    shop.give(orders=orders().assign(placed_at="yesterday"))
    assert load(shop, tmp_path).read("orders").column("placed_at").to_pylist()[0] == "yesterday"


def test_a_failed_ingest_leaves_the_last_good_one(shop: Shop, tmp_path: Path) -> None:
    before = load(shop, tmp_path).digest
    shop.give(orders=orders().iloc[:0])
    with pytest.raises(LooplineError):
        load(shop, tmp_path)
    assert Dataset.open(tmp_path / "raw").digest == before
    assert pq.read_table(tmp_path / "raw" / "orders.parquet").num_rows == 72

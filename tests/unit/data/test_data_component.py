"""The KFP components: what they hand on besides files."""

from pathlib import Path

from data_shop import END, START, Shop, orders


def test_components_set_digest_rows_and_metrics(shop: Shop, tmp_path: Path) -> None:
    from kfp import dsl

    from components.contract.dataset import Dataset
    from components.data import component

    frame = orders()
    frame.loc[[30, 31], "shop"] = "west"
    shop.give(orders=frame)
    raw, data, quarantine = (dsl.Dataset(name, str(tmp_path / name)) for name in ("raw", "data", "quarantine"))
    profile, metrics = dsl.HTML("profile", str(tmp_path / "profile")), dsl.Metrics("metrics", str(tmp_path / "metrics"))

    component.ingest.python_func(shop.package, START, END, raw)
    assert raw.metadata == {"digest": Dataset.open(raw.path).digest, "rows": {"orders": 72, "shops": 2}}

    component.validate_data.python_func(shop.package, raw, data, quarantine, profile, metrics)
    assert data.metadata == {"digest": Dataset.open(data.path).digest, "rows": {"orders": 70, "shops": 2}}
    assert quarantine.metadata == {"digest": Dataset.open(quarantine.path).digest, "rows": {"orders": 2, "shops": 0}}
    assert Path(profile.path).read_text().startswith("<!doctype html>")
    assert metrics.metadata == {
        "orders_rows": 70,
        "orders_quarantined_share": 2 / 72,
        "shops_rows": 2,
        "shops_quarantined_share": 0,
    }

"""The KFP components: what they hand on besides files."""

from pathlib import Path

import pytest
from data_shop import END, START, Shop, orders

from loopline.components.errors import LooplineError
from loopline.components.io import storage


def test_components_set_digest_rows_and_metrics(shop: Shop, tmp_path: Path) -> None:
    from kfp import dsl

    from loopline.components.contract.dataset import Dataset
    from loopline.components.data import component

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


def test_a_refused_batch_leaves_its_quarantine_where_the_pod_is_not(
    shop: Shop, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KFP uploads the outputs of a step only if it succeeds."""
    from kfp import dsl
    from kfp.dsl.types import artifact_types

    from loopline.components.contract.dataset import Dataset
    from loopline.components.data import component

    monkeypatch.setattr(artifact_types, "_S3_LOCAL_MOUNT_PREFIX", f"{tmp_path}/s3/")
    frame = orders()
    frame["shop"] = "west"
    shop.give(orders=frame)
    raw = dsl.Dataset("raw", str(tmp_path / "raw"))
    component.ingest.python_func(shop.package, START, END, raw)
    data, quarantine = (dsl.Dataset(name, f"{bucket}/run/{name}") for name in ("data", "quarantine"))
    profile, metrics = dsl.HTML("profile", f"{bucket}/run/profile"), dsl.Metrics("metrics", f"{bucket}/run/metrics")
    with pytest.raises(
        LooplineError, match=f"is rejected: .*; uploaded to {bucket}/run/quarantine and {bucket}/run/profile"
    ):
        component.validate_data.python_func(shop.package, raw, data, quarantine, profile, metrics)
    fetched = storage.fetch(f"{bucket}/run/quarantine", tmp_path / "elsewhere", manifest="dataset.json")
    assert Dataset.open(fetched).rows("orders") == 72
    assert "is rejected" in storage.fetch(f"{bucket}/run/profile", tmp_path / "elsewhere").read_text()

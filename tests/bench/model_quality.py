"""AUC by month beside LightGBM on the same columns and windows, trained on January to April."""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.evaluation import Evaluation, read
from loopline.components.contract.examples import LABEL, TABLE, features_of
from loopline.components.data.ingest import ingest
from loopline.components.data.validate import validate_data
from loopline.components.features.build import build_features
from loopline.components.features.join import join_features
from loopline.components.training.package import package
from loopline.components.training.train import train
from loopline.components.validation.evaluate import evaluate

USECASE = "loopline.usecases.flights"
TRAIN = ("2013-01-01", "2013-05-01")
TESTS = {
    "May": ("2013-05-01", "2013-06-01"),
    "June": ("2013-06-01", "2013-07-01"),
    "July": ("2013-07-01", "2013-08-01"),
    "September": ("2013-09-01", "2013-10-01"),
    "December": ("2013-12-01", "2014-01-01"),
}
# Three sensible settings; the peer is their mean, so that neither luck nor a bad choice decides.
PEERS = (
    {"n_estimators": 300, "learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 100},
    {"n_estimators": 500, "learning_rate": 0.03, "num_leaves": 15, "min_child_samples": 200},
    {"n_estimators": 400, "learning_rate": 0.02, "num_leaves": 31, "min_child_samples": 500},
)
COMMON = {"colsample_bytree": 0.5, "subsample": 0.8, "subsample_freq": 1, "verbose": -1, "n_jobs": 2, "seed": 7}
CALIBRATION_LIMIT = 0.03


def measure() -> list[dict[str, Any]]:
    """AUC of both on each test month, and our calibration error on May."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learned = _examples(folder / "train", TRAIN)
        train(USECASE, learned, folder / "weights", "")
        package(USECASE, folder / "weights", learned, folder / "model")
        peers = [_peer(Dataset.open(learned), setting) for setting in PEERS]
        rows = []
        for month, window in TESTS.items():
            unseen = _examples(folder / month, window)
            evaluate(USECASE, folder / "model", unseen, folder / f"{month}-evaluation", folder / f"{month}-footprint")
            ours = read(Evaluation, folder / f"{month}-evaluation").metrics
            theirs = statistics.mean(_auc(peer, Dataset.open(unseen)) for peer in peers)
            rows.append(_row(f"AUC, {month}", ours["auc"], "", f"LightGBM {theirs:.4f}", ours["auc"] / theirs))
            if month == "May":
                error = ours["calibration_error"]
                limit = f"limit {CALIBRATION_LIMIT}"
                rows.append(_row("calibration error, May", error, "", limit, error / CALIBRATION_LIMIT))
    return rows


def _row(name: str, value: float, unit: str, peer: str, ratio: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio}


def _examples(folder: Path, window: tuple[str, str]) -> Path:
    ingest(USECASE, *window, folder / "raw")
    validate_data(USECASE, folder / "raw", folder / "data", folder / "quarantine", folder / "profile.html")
    build_features(USECASE, folder / "data", folder / "history")
    join_features(USECASE, *window, folder / "data", folder / "history", folder / "examples")
    return folder / "examples"


def _frame(dataset: Dataset) -> tuple[pd.DataFrame, pd.Series]:
    """Features and labels of the labelled rows, categories as LightGBM wants them."""
    features = features_of(dataset.facts)
    frame = dataset.read(TABLE).to_pandas()
    frame = frame[frame[LABEL].notna()]
    for feature in features:
        if feature.kind == "category":
            frame[feature.name] = frame[feature.name].astype("category")
    return frame[[feature.name for feature in features]], frame[LABEL]


def _peer(dataset: Dataset, setting: dict[str, Any]) -> lightgbm.LGBMClassifier:
    rows, labels = _frame(dataset)
    return lightgbm.LGBMClassifier(**COMMON, **setting).fit(rows, labels)


def _auc(peer: lightgbm.LGBMClassifier, dataset: Dataset) -> float:
    rows, labels = _frame(dataset)
    return float(roc_auc_score(labels, np.asarray(peer.predict_proba(rows))[:, 1]))

"""The deliberately degraded model."""

import numpy as np
import pyarrow as pa
from packaged import model

from loopline.components.contract.scorer import Scorer
from loopline.demo.degraded import degrade


def scores(packaged, numbers):
    return Scorer(packaged).score(pa.table({"x": pa.array(numbers, pa.float32())}))


def test_spoiled_probabilities_are_square_roots(tmp_path):
    good = model(tmp_path / "good", "binary_classification")
    bad = degrade(good, "binary_classification", tmp_path / "bad")
    assert np.allclose(scores(bad, [-2, 0, 3]), np.sqrt(scores(good, [-2, 0, 3])))
    assert bad.digest != good.digest
    assert bad.facts["deliberately_bad"] == "every probability is its square root"


def test_spoiled_predictions_are_a_quarter_too_high(tmp_path):
    good = model(tmp_path / "good", "regression")
    assert np.allclose(scores(degrade(good, "regression", tmp_path / "bad"), [4, -8]), [5, -10])

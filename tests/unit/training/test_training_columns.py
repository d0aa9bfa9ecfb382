"""Examples become tensors: missing numbers NaN, unseen categories the unknown id, labels in the order of time."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from loopline.components.contract.examples import Feature
from loopline.components.errors import LooplineError
from loopline.components.training.columns import UNKNOWN, Columns, labelled_in_time_order

FEATURES = [Feature("size", "number"), Feature("kind", "category")]


def test_vocabulary_is_of_the_training_rows_and_ids_begin_after_unknown():
    learned = Columns.learn(FEATURES, pa.table({"size": [1.0, None, 2.0], "kind": ["b", None, "a"]}))
    assert learned.vocabularies == {"kind": ("a", "b")}
    assert learned.cardinalities == [3]
    numbers, ids = learned.tensors(pa.table({"size": [None, 3.0, 4.0, 5.0], "kind": ["a", "b", "zebra", None]}))
    assert torch.isnan(numbers[0, 0])
    assert ids[:, 0].tolist() == [1, 2, UNKNOWN, UNKNOWN]


def test_no_categories_and_no_numbers_give_empty_tensors():
    rows = pa.table({"size": [1.0, 2.0], "kind": ["a", "b"]})
    numbers, ids = Columns.learn(FEATURES[:1], rows).tensors(rows)
    assert (numbers.shape, ids.shape) == ((2, 1), (2, 0))
    numbers, ids = Columns.learn(FEATURES[1:], rows).tensors(rows)
    assert (numbers.shape, ids.shape) == ((2, 0), (2, 1))


def test_unlabelled_rows_are_left_aside_and_the_oldest_comes_first():
    at = pa.array(np.array([30, 10, 20]) * 1_000_000, pa.timestamp("us", tz="UTC"))
    rows = labelled_in_time_order(pa.table({"at": at, "label": [1.0, 0.0, None]}), "at")
    assert rows["label"].to_pylist() == [0.0, 1.0]


def test_no_label_at_all_is_one_sentence():
    at = pa.array([0], pa.timestamp("us", tz="UTC"))
    with pytest.raises(LooplineError, match="no example has a label"):
        labelled_in_time_order(pa.table({"at": at, "label": pa.nulls(1, pa.float64())}), "at")

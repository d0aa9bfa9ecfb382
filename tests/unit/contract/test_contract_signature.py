"""The signature: how Arrow rows become the tensors of a model."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import Signature
from loopline.components.errors import LooplineError

NUMBER, CATEGORY = Feature("x", "number"), Feature("c", "category")


def numbers(values: pa.Array) -> list[float]:
    (tensor,) = Signature((NUMBER,), "prediction").tensors(pa.table({"x": values})).values()
    assert (tensor.dtype, tensor.shape) == (np.float32, (len(values), 1))
    return [float(value) for value in tensor[:, 0]]


def categories(values: pa.Array) -> list[str]:
    (tensor,) = Signature((CATEGORY,), "prediction").tensors(pa.table({"c": values})).values()
    assert (tensor.dtype, tensor.shape) == (np.dtype(object), (len(values), 1))
    return list(tensor[:, 0])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5, None, -2.0]),
        pa.array(["1.5", None, "-2"]),
        pa.array([1.5, None, -2.0], pa.float32()),
        pa.array([1.5, float("nan"), -2.0]),
    ],
)
def test_numbers_become_float32_and_missing_ones_nan(values: pa.Array) -> None:
    assert numbers(values) == pytest.approx([1.5, float("nan"), -2.0], nan_ok=True)


def test_integers_and_truths_are_numbers() -> None:
    assert numbers(pa.array([2**40, None, 0])) == pytest.approx([2.0**40, float("nan"), 0], nan_ok=True)
    assert numbers(pa.array([True, False])) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["EWR", None, "Zürich", ""]), ["EWR", "", "Zürich", ""]),
        (pa.array(["EWR", None, "EWR"]).dictionary_encode(), ["EWR", "", "EWR"]),
        (pa.array([7, None]), ["7", ""]),
        (pa.array([None, None], pa.string()), ["", ""]),
    ],
)
def test_categories_become_text_and_missing_ones_empty(values: pa.Array, expected: list[str]) -> None:
    assert categories(values) == expected


@given(st.lists(st.none() | st.text()), st.integers(0, 5))
def test_any_categories_in_any_chunks(values: list[str | None], cut: int) -> None:
    array = pa.array(values, pa.string())
    chunked = pa.table({"c": pa.chunked_array([array[:cut], array[cut:]])})
    (tensor,) = Signature((CATEGORY,), "p").tensors(chunked).values()
    assert list(tensor[:, 0]) == [value or "" for value in values]


@pytest.mark.parametrize("rows", [pa.table, pa.RecordBatch.from_pydict])
def test_inputs_come_in_their_order_from_tables_and_batches(rows: object) -> None:
    assert callable(rows)
    given_rows = rows({"c": ["a"], "unused": [0], "x": [1], "d": [2], "e": ["b"]})
    signature = Signature.for_task(
        "binary_classification", [NUMBER, CATEGORY, Feature("e", "category"), Feature("d", "number")]
    )
    assert signature.names == ["x", "c", "e", "d"]
    assert signature.columns == {"numbers": ["x", "d"], "categories": ["c", "e"]}
    tensors = signature.tensors(given_rows)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "numbers": [[1.0, 2.0]],
        "categories": [["a", "b"]],
    }
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())
    assert signature.output == "probability"
    assert Signature.for_task("regression", []).output == "prediction"


def test_no_rows() -> None:
    empty = pa.table({"x": pa.array([], pa.int64()), "c": pa.array([], pa.string())})
    tensors = Signature((NUMBER, CATEGORY), "p").tensors(empty)
    assert [tensor.shape for tensor in tensors.values()] == [(0, 1), (0, 1)]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(LooplineError, match="the rows have no column 'x', which the model takes; they have y, z"):
        Signature((NUMBER,), "p").tensors(pa.table({"y": [1], "z": [2]}))


@pytest.mark.parametrize(
    ("feature", "values", "says"),
    [
        (NUMBER, pa.array(["one"]), "column 'x' of type string cannot be read as a number"),
        (NUMBER, pa.array([datetime(2024, 1, 1, tzinfo=UTC)]), "cannot be read as a number"),
        (NUMBER, pa.array([[1]]), "cannot be read as a number"),
        (CATEGORY, pa.array([{"a": 1}]), "cannot be read as a category"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(feature: Feature, values: pa.Array, says: str) -> None:
    with pytest.raises(LooplineError, match=says):
        Signature((feature,), "p").tensors(pa.table({feature.name: values}))


def test_json_and_back() -> None:
    signature = Signature((NUMBER, Feature("d", "number", "view")), "prediction")
    assert Signature.from_json(signature.to_json()) == signature

"""From Arrow to the tensors of the model, whatever way a column is stored; and scores that do not depend on it."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tram_examples import FEATURES

from loopline.components.contract import scorer
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer
from loopline.components.contract.signature import Signature

SIGNATURE = Signature(tuple(FEATURES), "probability")


def stored(values: list[str | None], way: str) -> pa.Array | pa.ChunkedArray:
    plain = pa.array(values, pa.string())
    half = len(values) // 2
    ways = {
        "plain": plain,
        "large": plain.cast(pa.large_string()),
        "dictionary": plain.dictionary_encode(),
        "sliced": pa.concat_arrays([pa.array(["x", None], pa.string()), plain]).slice(2),
        "chunks": pa.chunked_array([plain[:half], plain[half:]], pa.string()),
        "dictionaries": pa.chunked_array(
            [plain[:half].dictionary_encode(), plain[half:].dictionary_encode()],
            pa.dictionary(pa.int32(), pa.string()),
        ),
    }
    return ways[way]


@given(
    values=st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b"]), st.text(max_size=6))),
    way=st.sampled_from(["plain", "large", "dictionary", "sliced", "chunks", "dictionaries"]),
)
def test_categories_are_the_same_strings_however_stored(values: list[str | None], way: str) -> None:
    rows = pa.table({"stop": stored(values, way), "signal": pa.nulls(len(values), pa.float64())})
    tensor = SIGNATURE.tensors(rows)["categories"]
    assert tensor.shape == (len(values), 1)
    assert tensor.dtype == object
    assert tensor.ravel().tolist() == ["" if value is None else value for value in values]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40))))
def test_numbers_become_float32_and_missing_ones_nan(values: list[int | None]) -> None:
    rows = pa.table({"stop": pa.nulls(len(values), pa.string()), "signal": pa.array(values, pa.int64())})
    tensor = SIGNATURE.tensors(rows)["numbers"]
    assert tensor.dtype == np.float32
    expected = np.array([math.nan if value is None else value for value in values], np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(tensor, expected)


def test_scores_do_not_depend_on_the_rows_of_a_call(network: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    rows = pa.table({"signal": random.normal(size=100), "stop": random.choice(["Zoo", "Alex", "?"], 100)})
    whole = Scorer(network, threads=1).score(rows)
    monkeypatch.setattr(scorer, "ROWS_PER_CALL", 7)
    np.testing.assert_allclose(Scorer(network, threads=1).score(rows), whole, atol=1e-7, rtol=0)

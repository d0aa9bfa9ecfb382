"""The packaged graph takes raw features, answers like torch, and lies as Triton expects it."""

import json
import re

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopline.components.contract import usecase
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer
from loopline.components.errors import LooplineError
from loopline.components.training import weights
from loopline.components.training.package import check_equal, package
from loopline.components.training.train import train
from tests.unit.training.conftest import make_rows


@pytest.fixture
def packaged(make_usecase, write_examples, tmp_path):
    name, learned = make_usecase(), write_examples(make_rows())
    train(name, learned, tmp_path / "weights", "")
    model = package(name, tmp_path / "weights", learned, tmp_path / "model")
    return model, weights.load(tmp_path / "weights", usecase.load(name)), name, learned


ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(width=32, allow_nan=False),
        st.none() | st.floats(width=32, allow_nan=False),
        st.none() | st.sampled_from(["a", "b", "c", "", "zebra", "ä", "日本"]),
    ),
    min_size=1,
    max_size=20,
)


def test_graph_equals_torch_on_any_rows(packaged):
    model, trained, *_ = packaged
    scorer = Scorer(model)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ROWS)
    def same(rows):
        size, noise, kind = zip(*rows, strict=True)
        table = pa.table(
            {
                "size": pa.array(size, pa.float64()),
                "noise": pa.array(noise, pa.float64()),
                "kind": pa.array(kind, pa.string()),
            }
        )
        with torch.no_grad():
            expected = trained.predictor(*trained.columns.tensors(table)).numpy().reshape(-1)
        np.testing.assert_allclose(scorer.score(table), expected, atol=1e-5)
        assert np.isfinite(expected).all()

    same()


def test_one_tensor_for_numbers_and_one_for_categories(packaged):
    model, *_ = packaged
    made = onnx.load(model.onnx)
    given = {each.name: each.type.tensor_type for each in made.graph.input}
    assert {name: (kind.elem_type, kind.shape.dim[1].dim_value) for name, kind in given.items()} == {
        "numbers": (onnx.TensorProto.FLOAT, 2),
        "categories": (onnx.TensorProto.STRING, 1),
    }
    assert [output.name for output in made.graph.output] == ["probability"]
    told = {entry.key: json.loads(entry.value) for entry in made.metadata_props}
    assert told["columns"] == model.signature.columns == {"numbers": ["size", "noise"], "categories": ["kind"]}


def test_repository_is_tritons(packaged):
    model, *_ = packaged
    repository = model.path / "repository"
    found = {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}
    assert found == {"learned/config.pbtxt", "learned/1/model.onnx"}
    config = (repository / "learned" / "config.pbtxt").read_text()
    assert 'name: "learned"' in config
    assert re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ (\d+) \]', config) == [
        ("numbers", "TYPE_FP32", "2"),
        ("categories", "TYPE_STRING", "1"),
        ("probability", "TYPE_FP32", "1"),
    ]


def test_packaging_twice_gives_the_same_bytes(packaged, tmp_path):
    model, _, name, learned = packaged
    again = package(name, tmp_path / "weights", learned, tmp_path / "again")
    assert again.digest == model.digest
    assert (tmp_path / "again" / "model.json").read_bytes() == (tmp_path / "model" / "model.json").read_bytes()


def test_provenance_is_no_part_of_the_identity(packaged):
    model, trained, *_ = packaged
    assert trained.provenance.keys() == {"tracking_run", "code"}
    assert Model.open(model.path).digest == model.digest
    assert "tracking_run" not in model.facts


def test_a_graph_that_differs_must_not_ship(packaged):
    model, trained, *_ = packaged
    with torch.no_grad():
        trained.predictor.network.last_bias.add_(0.1)
    with pytest.raises(LooplineError, match="differs from the torch module"):
        check_equal(trained, Scorer(model), make_rows(50))


def test_weights_that_are_none(make_usecase, write_examples, tmp_path):
    with pytest.raises(LooplineError, match="there is no artifact"):
        package(make_usecase(), tmp_path / "nothing", write_examples(make_rows(60)), tmp_path / "model")
    assert not (tmp_path / "model").exists()

"""Training: learns, is the same twice, stops early, and tells what is wrong with the labels."""

import os
import socket
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file

from loopline.components.contract import usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.scorer import Scorer
from loopline.components.errors import LooplineError
from loopline.components.training.fit import _held_out, _platt_slope, fit
from loopline.components.training.package import package
from loopline.components.training.train import train
from loopline.components.training.trainer import batch_size
from loopline.components.training.weights import figures, load
from tests.unit.training.conftest import make_rows


def tensors(path):
    return load_file(path / "weights.safetensors")


def test_learns_the_rule_and_is_the_same_twice(make_usecase, write_examples, tmp_path):
    name, learned = make_usecase(), write_examples(make_rows())
    first = train(name, learned, tmp_path / "one", "")
    train(name, learned, tmp_path / "two", "")
    assert all((tensors(tmp_path / "one")[key] == value).all() for key, value in tensors(tmp_path / "two").items())
    assert first["held_out_loss"] < 0.55  # the constant answer has about 0.69
    assert 1 <= first["epochs"] <= 6


def test_regression_answers_in_the_unit_of_the_label(make_usecase, write_examples, tmp_path):
    rows = make_rows(task="regression")
    name, learned = make_usecase("regression"), write_examples(rows)
    train(name, learned, tmp_path / "weights", "")
    model = package(name, tmp_path / "weights", learned, tmp_path / "model")
    answers = Scorer(model).score(rows)
    assert model.signature.output == "prediction"
    assert abs(float(answers.mean()) - float(np.mean(rows["label"].to_numpy()))) < 3
    assert np.corrcoef(answers, rows["label"].to_numpy())[0, 1] > 0.8


def test_two_processes_give_the_model_of_one(make_usecase, write_examples, tmp_path):
    name, learned = make_usecase(), write_examples(make_rows())
    train(name, learned, tmp_path / "alone", "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    command += [f"--master-port={port}", "-m", "loopline.components.training", "--usecase", name]
    command += ["--examples", str(learned), "--weights", str(tmp_path / "shared")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, shared = tensors(tmp_path / "alone"), tensors(tmp_path / "shared")
    assert alone.keys() == shared.keys()
    for key, value in alone.items():
        np.testing.assert_allclose(shared[key], value, rtol=1e-3, atol=1e-4, err_msg=key)


def test_early_stopping_when_what_is_held_out_gets_worse(make_usecase, write_examples, tmp_path, capsys):
    """Labels of the held-out stretches are the reverse of what the others teach, so every further epoch is worse."""
    rows = make_rows()
    label = rows["label"].to_numpy().copy()
    held_out = _held_out(len(label), 0.1).numpy()
    label[held_out] = 1 - label[held_out]
    rows = rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(label))
    figures = train(make_usecase(), write_examples(rows), tmp_path / "weights", "")
    assert figures["epochs"] == 1
    assert capsys.readouterr().out.count("progress: epoch") == 3  # the best, and patience for two more


def test_held_out_rows_are_stretches_all_over_the_window():
    mask = _held_out(1000, 0.1)
    assert int(mask.sum()) == 100
    edges = mask.int().diff().ne(0).sum()
    assert int(edges) == 20  # ten stretches of ten rows
    assert mask[:500].sum() == mask[500:].sum()


def test_calibration_undoes_overconfidence_and_leaves_the_rate():
    torch.manual_seed(0)
    odds = torch.randn(20_000, 1)
    labels = torch.bernoulli(torch.sigmoid(odds)).squeeze(1)
    assert _platt_slope(odds * 3 + 1, labels) == pytest.approx(1 / 3, rel=0.05)


def test_few_rows_are_taken_in_small_steps():
    assert batch_size(100_000, 1024) == 1024
    assert batch_size(6_400, 1024) == 100
    assert batch_size(640, 1024) == 32
    assert batch_size(20, 1024) == 20


@pytest.mark.parametrize(
    ("labels", "task", "sentence"),
    [
        (np.zeros(100), "binary_classification", "every label .* is 0"),
        (np.full(100, 3.0), "regression", "every label .* is 3"),
        (np.arange(100.0), "binary_classification", "its label holds .* besides 0 and 1"),
        (np.zeros(10), "binary_classification", "has 10 labelled rows"),
    ],
)
def test_labels_that_teach_nothing(labels, task, sentence, make_usecase, write_examples, tmp_path):
    rows = make_rows(len(labels))
    rows = rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(labels))
    with pytest.raises(LooplineError, match=sentence):
        train(make_usecase(task), write_examples(rows), tmp_path / "weights", "")
    assert not (tmp_path / "weights").exists()


def test_examples_that_were_changed_are_refused(make_usecase, write_examples, tmp_path):
    learned = write_examples(make_rows(100))
    file = Dataset.open(learned).file("examples")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(LooplineError, match="does not have the digest"):
        train(make_usecase(), learned, tmp_path / "weights", "")


LINEAR = """
import torch
class Linear(torch.nn.Module):
    def __init__(self, numbers):
        super().__init__()
        self.line = torch.nn.Linear(numbers, 1)
    def forward(self, numbers, categories):
        return self.line(torch.nan_to_num(numbers))
def build(spec, numbers, cardinalities):
    return Linear(numbers)
"""


def test_a_use_case_may_bring_its_own_network(make_usecase, write_examples, tmp_path):
    rows = make_rows()
    name, learned = make_usecase(model=LINEAR), write_examples(rows)
    train(name, learned, tmp_path / "weights", "")
    assert set(tensors(tmp_path / "weights")) == {"line.weight", "line.bias"}
    answers = Scorer(package(name, tmp_path / "weights", learned, tmp_path / "model")).score(rows)
    weight, bias = tensors(tmp_path / "weights")["line.weight"][0], tensors(tmp_path / "weights")["line.bias"][0]
    numbers = np.nan_to_num(np.stack([rows["size"].to_numpy(), rows["noise"].to_numpy()], axis=1))
    predictor = load(tmp_path / "weights", usecase.load(name)).predictor
    odds = (numbers @ weight + bias) * predictor.scale + predictor.shift
    np.testing.assert_allclose(answers, 1 / (1 + np.exp(-odds)), atol=1e-5)


def test_tracking_gets_parameters_and_losses(make_usecase, write_examples, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    train(make_usecase(), write_examples(make_rows()), tmp_path / "weights", uri)
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("learned/training").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["members"] == "2"
    assert run.data.metrics["rows"] == 1200
    assert len(client.get_metric_history(run.info.run_id, "held_out_loss")) >= 1


def test_one_thread_and_no_denormals_while_training_only(make_usecase, write_examples, tmp_path, monkeypatch):
    def arithmetic():
        return torch.get_num_threads(), float(torch.tensor([1e-40]) * 1)

    during = []

    def watched(*given):
        during.append(arithmetic())
        return fit(*given)

    monkeypatch.setattr("loopline.components.training.train.fit", watched)
    torch.set_num_threads(2)
    before = arithmetic()
    train(make_usecase(), write_examples(make_rows(100)), tmp_path / "weights", "")
    assert during == [(1, 0.0)]
    assert arithmetic() == before
    assert before[1] > 0


def test_component_sets_digest_and_metrics(make_usecase, write_examples, tmp_path):
    from kfp import dsl

    from loopline.components.io import digest
    from loopline.components.training import component

    learned = dsl.Dataset("examples", str(write_examples(make_rows(200))))
    made, metrics = dsl.Model("weights", str(tmp_path / "weights")), dsl.Metrics("metrics", str(tmp_path / "metrics"))
    component.train.python_func(make_usecase(), "", "pod", learned, made, metrics)
    assert made.metadata == {"digest": digest.of_tree(tmp_path / "weights")}
    assert metrics.metadata == figures(tmp_path / "weights")
    assert metrics.metadata.keys() == {"rows", "epochs", "held_out_loss"}

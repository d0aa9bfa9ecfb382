"""A training that was interrupted goes on as if it had not been; and nothing on a GPU is mixed with what is not."""

import sys
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.spec import ModelSpec
from loopline.components.errors import LooplineError
from loopline.components.training import __main__ as process
from loopline.components.training.checkpoint import FILE, Checkpoint
from loopline.components.training.columns import TrainingRows
from loopline.components.training.fit import Progress, _held_out
from loopline.components.training.network import Ensemble
from loopline.components.training.train import _resume, train
from loopline.components.training.trainer import Trainer
from loopline.components.training.world import World
from tests.object_store import free_port
from tests.unit.training.conftest import make_rows


class KilledError(Exception):
    pass


@pytest.fixture
def with_dropout(make_usecase, tmp_path):
    """A use case whose network also draws from torch's own stream of chance."""

    def make(task="binary_classification"):
        name = make_usecase(task)
        spec = tmp_path / name / "usecase.yaml"
        spec.write_text(spec.read_text().replace("averaging: 0.9", "averaging: 0.9, dropout: 0.2"))
        return name

    return make


@pytest.fixture
def killed_after(monkeypatch):
    """End a training after it has kept its progress so many times."""

    write = Checkpoint.write

    def kill(times):
        written = []

        def counted(self, progress):
            write(self, progress)
            written.append(progress)
            if len(written) == times:
                raise KilledError

        monkeypatch.setattr(Checkpoint, "write", counted)
        return written

    return kill


def same_bytes(one, other):
    first, second = load_file(one / "weights.safetensors"), load_file(other / "weights.safetensors")
    return first.keys() == second.keys() and all((second[key] == value).all() for key, value in first.items())


def falling_only_at_first(rows):
    """Labels of the held-out stretches are the reverse of what the others teach."""
    label = rows["label"].to_numpy().copy()
    held_out = _held_out(len(label), 0.1).numpy()
    label[held_out] = 1 - label[held_out]
    return rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(label))


@pytest.mark.parametrize("kind", ["classification", "regression", "stops early"])
def test_wherever_it_was_interrupted_the_result_is_the_same(kind, with_dropout, write_examples, tmp_path, killed_after):
    task = "regression" if kind == "regression" else "binary_classification"
    rows = make_rows(200, task=task)
    name, learned = with_dropout(task), write_examples(falling_only_at_first(rows) if kind == "stops early" else rows)
    kept = tmp_path / "kept"
    written = killed_after(times=0)  # never
    figures = train(name, learned, tmp_path / "undisturbed", "", checkpoint=str(kept))
    epochs = len(written)
    assert epochs >= 4
    (kept / FILE).unlink()
    for times in range(1, epochs + 1):
        killed_after(times)
        with pytest.raises(KilledError):
            train(name, learned, tmp_path / "resumed", "", checkpoint=str(kept))
        again = killed_after(times=0)
        assert train(name, learned, tmp_path / "resumed", "", checkpoint=str(kept)) == figures
        assert len(again) == epochs - times  # it went on, and did not begin anew
        assert same_bytes(tmp_path / "undisturbed", tmp_path / "resumed")
        (kept / FILE).unlink()


def test_a_checkpoint_changes_nothing(with_dropout, write_examples, tmp_path):
    name, learned = with_dropout(), write_examples(make_rows(200))
    train(name, learned, tmp_path / "without", "")
    train(name, learned, tmp_path / "with", "", checkpoint=str(tmp_path / "kept"))
    assert same_bytes(tmp_path / "without", tmp_path / "with")


def progress():
    return Progress((0.5, 0.25), torch.ones(3, 1), 1, {"network.a": torch.arange(4.0), "step": torch.tensor(7)})


@pytest.mark.parametrize("place", ["path", "file", "s3"])
def test_progress_comes_back_as_it_was_kept(place, tmp_path, request):
    uri = {"path": str(tmp_path / "kept"), "file": (tmp_path / "kept").as_uri()}.get(place)
    kept = Checkpoint(uri or f"{request.getfixturevalue('bucket')}/kept", "mine")
    assert kept.read().losses == ()
    kept.write(replace(progress(), losses=(0.5,)))
    kept.write(progress())
    read = kept.read()
    assert (read.losses, read.final_epochs) == ((0.5, 0.25), 1)
    assert torch.equal(read.outputs, torch.ones(3, 1))
    assert {name: tensor.tolist() for name, tensor in read.trainer.items()} == {"network.a": [0, 1, 2, 3], "step": 7}


def test_progress_of_another_training_is_not_gone_on_from(tmp_path):
    Checkpoint(str(tmp_path), "another").write(progress())
    assert Checkpoint(str(tmp_path), "mine").read().losses == ()


@pytest.mark.parametrize("size", [0, 7, 200])
def test_a_damaged_checkpoint_is_none(size, tmp_path):
    kept = Checkpoint(str(tmp_path), "mine")
    kept.write(progress())
    whole = (tmp_path / FILE).read_bytes()
    assert len(whole) > size
    (tmp_path / FILE).write_bytes(whole[:size])
    assert kept.read().losses == ()


def test_a_store_that_is_away_is_an_error(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(LooplineError, match="cannot be reached"):
        Checkpoint("s3://bucket/kept", "mine").read()


def test_processes_that_read_different_checkpoints_part(tmp_path):
    class Later(World):
        def broadcast(self, value):
            return value + 1

    with pytest.raises(LooplineError, match="still writing its checkpoint"):
        _resume(Checkpoint(str(tmp_path), "mine"), Later(1, 2, torch.device("cpu")))


def test_a_process_fetches_examples_and_puts_weights(make_usecase, write_examples, tmp_path, monkeypatch):
    name, learned = make_usecase(), write_examples(make_rows(200))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    process.run(name, learned.as_uri(), f"{tmp_path.as_uri()}/put/weights", "", "")
    train(name, learned, tmp_path / "here", "")
    assert same_bytes(tmp_path / "here", tmp_path / "put" / "weights")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_process_tells_people_what_is_wrong(make_usecase, write_examples, tmp_path, monkeypatch, capsys):
    name, learned = make_usecase(), write_examples(make_rows(200))
    (Dataset.open(learned).path / "dataset.json").unlink()
    command = ["x", f"--usecase={name}", f"--examples={learned.as_uri()}", f"--weights={tmp_path / 'weights'}"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"error: .* is not complete: it has no dataset.json"):
        process.main()
    assert not (tmp_path / "weights").exists()


def test_more_processes_than_a_batch_has_rows():
    rows = TrainingRows(torch.randn(300, 1), torch.zeros(300, 0, dtype=torch.long), torch.ones(300))
    spec = ModelSpec(batch_size=8)
    with pytest.raises(LooplineError, match="16 processes cannot share 300 rows; take fewer nodes or GPUs"):
        Trainer(rows, spec, "regression", lambda: Ensemble(spec, 1, []), Unwrapped(0, 16, torch.device("cpu")))


class Unwrapped(World):
    def wrap(self, network):
        return network


def test_nothing_on_the_device_meets_what_is_not(monkeypatch):
    """The meta device takes no part in arithmetic with a CPU's tensors, as a GPU would not; a GPU is not at hand."""
    plain = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, lr, fused: plain(groups, lr=lr))  # meta has no fused one
    rows = TrainingRows(torch.randn(300, 3), torch.randint(0, 3, (300, 2)), (torch.rand(300) > 0.5).float())
    spec = ModelSpec(epochs=1, batch_size=64, dropout=0.1)
    on_device = World(0, 1, torch.device("meta"))
    trainer = Trainer(rows, spec, "binary_classification", lambda: Ensemble(spec, 3, [4, 4]), on_device)
    trainer.run_epoch()
    devices = {name: tensor.device.type for name, tensor in trainer.state().items()}
    assert {device for name, device in devices.items() if name.startswith(("network.", "averaged."))} == {"meta"}

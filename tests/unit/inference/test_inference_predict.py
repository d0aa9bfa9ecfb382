"""Batch prediction: every row comes out once, as a prediction or with a reason."""

import errno
import json
import math
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tram_examples import FEATURES, FIRST, STOPS, Inputs, moments, trips

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.contract.scorer import Scorer
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.inference.predict import predict
from loopline.components.inference.scoring import NO_PROBABILITY, NOT_FINITE, score_function

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOUR = timedelta(hours=1)


def example_rows(signals: list[float | None], stops: list[str | None] | None = None) -> pa.Table:
    return trips(signals, moments(FIRST, len(signals), HOUR), stops)


def read(paths: dict[str, Any], table: str = "predictions") -> list[dict[str, Any]]:
    return list(Dataset.open(paths["predictions_path"]).read(table).to_pylist())


@QUICK
@given(
    signals=st.lists(st.one_of(st.none(), st.floats(width=32), st.floats(0, 1, width=32)), max_size=40),
    refused=st.lists(st.sampled_from(["before", "inside", "unknown"]), max_size=8),
    batch_rows=st.sampled_from([1, 3, 16, 100]),
)
def test_every_row_is_predicted_or_quarantined(
    usecase: str, echo: Model, inputs: Inputs, signals: list[float | None], refused: list[str], batch_rows: int
) -> None:
    rows = example_rows(signals)
    times = {"before": FIRST - HOUR, "inside": FIRST + HOUR, "unknown": None}
    bad = trips([0.5] * len(refused), [times[kind] for kind in refused]).append_column(
        "reason", pa.array(["odd"] * len(refused), pa.string())
    )
    paths = inputs(rows, bad)
    predicted = predict(usecase, echo.path, "7", **paths, batch_rows=batch_rows)

    usable = [s is not None and 0 <= s <= 1 for s in signals]
    counted = [kind for kind in refused if kind != "before"]
    assert predicted.rows_in == len(signals) + len(counted)
    assert predicted.rows_out == sum(usable)
    assert predicted.rows_quarantined == predicted.rows_in - predicted.rows_out
    assert [row["trip"] for row in read(paths)] == [i for i, ok in enumerate(usable) if ok]
    lost = [row["trip"] for row in read(paths, "quarantine")]
    assert lost[: len(lost) - len(counted)] == [str(i) for i, ok in enumerate(usable) if not ok]
    written = Dataset.open(paths["predictions_path"])
    assert written.rows("predictions") == predicted.rows_out
    assert written.rows("quarantine") == predicted.rows_quarantined
    assert {name: written.facts[name] for name in ("rows_in", "rows_out", "rows_quarantined")} == {
        "rows_in": predicted.rows_in,
        "rows_out": predicted.rows_out,
        "rows_quarantined": predicted.rows_quarantined,
    }


def test_predictions_name_row_moment_model_and_score(usecase: str, echo: Model, inputs: Inputs) -> None:
    rows = example_rows([0.25, 0.5])
    paths = inputs(rows)
    predict(usecase, echo.path, "7", **paths)
    written = Dataset.open(paths["predictions_path"])
    table = written.read("predictions")
    assert table.column_names == ["line", "trip", "departs_at", "feature_time", "probability", "model_version"]
    assert table.select(["line", "trip", "departs_at", "feature_time"]).equals(
        rows.select(["line", "trip", "departs_at", "feature_time"])
    )
    assert table["probability"].to_pylist() == [0.25, 0.5]
    assert table["model_version"].to_pylist() == ["7", "7"]
    assert table.schema.field("model_version").type == pa.string()
    examples = Dataset.open(paths["examples_path"])
    assert written.facts["model"] == echo.digest
    assert written.facts["examples"] == examples.digest
    assert written.facts["model_version"] == "7"
    assert written.facts["window"] == examples.facts["window"]


def test_a_regression_gives_a_prediction_of_any_size(
    usecases: dict[str, str], echo_regression: Model, inputs: Inputs
) -> None:
    paths = inputs(example_rows([-3.5, math.inf, 1e6]))
    predicted = predict(usecases["regression"], echo_regression.path, "1", **paths)
    assert [row["prediction"] for row in read(paths)] == [-3.5, 1e6]
    assert "probability" not in read(paths)[0]
    assert predicted.rows_quarantined == 1


def test_unusable_scores_are_quarantined_with_a_reason(usecase: str, echo: Model, inputs: Inputs) -> None:
    paths = inputs(example_rows([0.0, math.nan, None, -math.inf, 1.5, -0.1, 1.0]))
    predict(usecase, echo.path, "7", **paths)
    assert [row["probability"] for row in read(paths)] == [0.0, 1.0]
    lost = read(paths, "quarantine")
    assert [row["reason"] for row in lost] == [NOT_FINITE] * 3 + [NO_PROBABILITY] * 2
    assert lost[0] == {"line": "M1", "trip": "1", "departs_at": "2024-03-20 00:00:00.000000Z", "reason": NOT_FINITE}


def test_missing_and_unseen_values_survive(usecase: str, network: Model, inputs: Inputs) -> None:
    stops = [None, "a stop never seen", None, "Zoo"]
    paths = inputs(example_rows([0.5, 0.5, None, None], stops))
    predict(usecase, network.path, "7", **paths)
    scores = [row["probability"] for row in read(paths)]
    assert len(scores) == 4
    assert scores[0] == scores[1]  # both are unknown to the model
    assert len(set(scores)) == 3


def test_an_all_null_column_survives(usecase: str, network: Model, inputs: Inputs) -> None:
    rows = example_rows([0.5, 0.5])
    for name in ("signal", "stop"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.nulls(2))
    paths = inputs(rows)
    assert predict(usecase, network.path, "7", **paths).rows_out == 2


def test_where_batches_end_changes_no_score(usecase: str, network: Model, inputs: Inputs) -> None:
    random = np.random.default_rng(1)
    signals = [
        None if missing else value
        for value, missing in zip(random.normal(size=500), random.random(500) < 0.1, strict=True)
    ]
    stops = [[*STOPS, None, "unseen"][i] for i in random.integers(0, 5, 500)]
    rows = example_rows(signals, stops)
    paths = inputs(rows)
    whole = Scorer(network).score(rows)
    for batch_rows in (1, 7, 64, 499, 10_000):
        predict(usecase, network.path, "7", **paths, batch_rows=batch_rows)
        table = Dataset.open(paths["predictions_path"]).read("predictions")
        np.testing.assert_allclose(table["probability"].to_numpy(), whole, atol=1e-7, rtol=0)
        assert table["trip"].to_pylist() == list(range(500))


def test_the_same_input_gives_the_same_bytes(usecase: str, network: Model, inputs: Inputs) -> None:
    paths = inputs(example_rows([0.1, 0.9, 0.4] * 50))
    first = predict(usecase, network.path, "7", **paths, batch_rows=16)
    assert predict(usecase, network.path, "7", **paths, batch_rows=16).digest == first.digest
    assert predict(usecase, network.path, "7", **paths, batch_rows=7).digest == first.digest


def test_no_examples_give_no_predictions(usecase: str, network: Model, inputs: Inputs) -> None:
    paths = inputs(example_rows([]))
    predicted = predict(usecase, network.path, "7", **paths)
    assert (predicted.rows_in, predicted.rows_out, predicted.rows_quarantined) == (0, 0, 0)
    assert read(paths) == []


@pytest.mark.parametrize(
    ("departures", "kept"),
    [
        (
            pa.array(["2024-03-19T22:59:59Z", "2024-03-19 23:00", "19 March", None, "0001-01-01T00:00+14:00"]),
            [1, 2, 3, 4],
        ),
        (pa.array([1_700_000_000, 20240301, 5, None, 0]), [0, 1, 2, 3, 4]),
        (pa.array([FIRST - HOUR, FIRST, None, FIRST, FIRST - HOUR], pa.timestamp("ns", tz="Europe/Berlin")), [1, 2, 3]),
        (pa.nulls(5), [0, 1, 2, 3, 4]),
        (pa.array([["a list"], None, [], ["b"], ["c"]]), [0, 1, 2, 3, 4]),
    ],
    ids=["text", "numbers", "moments", "nulls", "lists"],
)
def test_refused_rows_count_unless_they_surely_lie_before_the_window(
    usecase: str, echo: Model, inputs: Inputs, departures: pa.Array, kept: list[int]
) -> None:
    refused = pa.table(
        {"trip": pa.array([f"t{i}" for i in range(5)]), "departs_at": departures, "reason": pa.array(["odd"] * 5)}
    )
    paths = inputs(example_rows([0.5]), refused)
    predicted = predict(usecase, echo.path, "7", **paths)
    assert [row["trip"] for row in read(paths, "quarantine")] == [f"t{i}" for i in kept]
    assert predicted.rows_in == 1 + len(kept)
    row = read(paths, "quarantine")[0]
    assert row["line"] is None  # the refused rows have no such column
    assert row["departs_at"] is None or isinstance(row["departs_at"], str)
    assert row["reason"] == "odd"


def refusal(usecase: str, model: Model, paths: dict[str, Any]) -> str:
    with pytest.raises(LooplineError) as error:
        predict(usecase, model.path, "7", **paths)
    assert "\n" not in str(error.value)
    assert not Path(paths["predictions_path"]).exists()
    return str(error.value)


def test_a_feature_that_the_examples_lack_is_named(
    usecase: str, network: Model, inputs: Inputs, tmp_path: Path
) -> None:
    paths = inputs(example_rows([0.5]))
    facts = {"window": ["2024-03-20", "2024-03-30"], "features": [vars(FEATURES[0])], "feature_views": {}}
    dataset.write(tmp_path / "examples", {"examples": example_rows([0.5]).drop_columns(["stop"])}, facts)
    assert "it takes stop (category)" in refusal(usecase, network, paths)


def test_a_feature_of_another_kind_is_named(usecase: str, network: Model, inputs: Inputs, tmp_path: Path) -> None:
    paths = inputs(example_rows([0.5]))
    features = [vars(FEATURES[0]), {"name": "stop", "kind": "number", "view": None}]
    facts = {"window": ["2024-03-20", "2024-03-30"], "features": features, "feature_views": {}}
    dataset.write(tmp_path / "examples", {"examples": example_rows([0.5])}, facts)
    assert "stop (category)" in refusal(usecase, network, paths)


def test_a_column_that_cannot_be_read_is_named(usecase: str, network: Model, inputs: Inputs) -> None:
    rows = example_rows([0.5])
    lists = pa.array([[1.0]])
    paths = inputs(rows.set_column(rows.schema.get_field_index("signal"), "signal", lists))
    assert "'signal'" in refusal(usecase, network, paths)


def test_a_model_for_another_task_is_refused(usecase: str, echo_regression: Model, inputs: Inputs) -> None:
    assert "gives a prediction" in refusal(usecase, echo_regression, inputs(example_rows([0.5])))


def test_a_dataset_that_holds_no_examples_is_refused(usecase: str, echo: Model, inputs: Inputs) -> None:
    paths = inputs(example_rows([0.5]))
    assert "no examples" in refusal(usecase, echo, {**paths, "examples_path": paths["quarantine_path"]})


def test_a_quarantine_of_something_else_is_refused(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    paths = inputs(example_rows([0.5]))
    assert "no table 'trips'" in refusal(usecase, echo, {**paths, "quarantine_path": paths["examples_path"]})
    dataset.write(tmp_path / "quarantine", {"trips": example_rows([0.5])}, {})
    assert "'reason'" in refusal(usecase, echo, paths)


def test_examples_without_identity_are_refused(usecase: str, echo: Model, inputs: Inputs) -> None:
    assert "lack the column trip" in refusal(usecase, echo, inputs(example_rows([0.5]).drop_columns(["trip"])))


@pytest.mark.parametrize("part", ["examples/examples.parquet", "quarantine/trips.parquet"])
def test_damaged_input_is_refused(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path, part: str) -> None:
    paths = inputs(example_rows([0.5] * 100))
    file = tmp_path / part
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CorruptArtifactError):
        predict(usecase, echo.path, "7", **paths)


def test_a_damaged_model_is_refused(usecase: str, echo: Model, inputs: Inputs, tmp_path: Path) -> None:
    copy = tmp_path / "model" / "repository" / "trams" / "1" / "model.onnx"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(echo.onnx.read_bytes() + b"!")
    (tmp_path / "model" / "model.json").write_bytes((echo.path / "model.json").read_bytes())
    with pytest.raises(CorruptArtifactError):
        predict(usecase, tmp_path / "model", "7", **inputs(example_rows([0.5])))


def test_a_full_disk_leaves_nothing_half_made(
    usecase: str, echo: Model, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = inputs(example_rows([0.5] * 100))
    before = sorted(tmp_path.iterdir())
    written = []

    def write_table(self: pq.ParquetWriter, table: pa.Table, **options: Any) -> None:
        written.append(table)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    with pytest.raises(LooplineError, match="disk is full"):
        predict(usecase, echo.path, "7", **paths, batch_rows=10)
    assert sorted(tmp_path.iterdir()) == before


PREDICT_AND_DIE = """
import json, os, signal, sys
root, arguments = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)
from loopline.components.contract.scorer import Scorer
from loopline.components.inference.predict import predict
score, calls = Scorer.score, []
def dying(self, rows):
    calls.append(rows)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return score(self, rows)
Scorer.score = dying
predict(**arguments, batch_rows=10)
"""


def test_killed_in_the_middle_the_former_predictions_stay(
    usecase: str, usecases: dict[str, str], echo: Model, inputs: Inputs
) -> None:
    paths = inputs(example_rows([0.25] * 100))
    former = predict(usecase, echo.path, "6", **paths)
    arguments = {
        "usecase": usecase,
        "model_path": str(echo.path),
        "version": "7",
        **{k: str(v) for k, v in paths.items()},
    }
    killed = subprocess.run(
        [sys.executable, "-c", PREDICT_AND_DIE, usecases["root"], json.dumps(arguments)],
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert killed.returncode == -signal.SIGKILL
    assert Dataset.open(paths["predictions_path"]).digest == former.digest
    assert predict(usecase, echo.path, "7", **paths).rows_out == 100
    assert {row["model_version"] for row in read(paths)} == {"7"}


def test_scoring_maps_batches_as_spark_does(echo: Model) -> None:
    batches = example_rows([0.5, None, 2.0, 0.25]).to_batches(max_chunksize=1)
    for workers in (1, 3):
        scored = list(score_function(echo.path, "7", ["line", "trip"], workers)(iter(batches)))
        assert [len(batch) for batch in scored] == [1, 1, 1, 1]
        assert len({str(batch.schema) for batch in scored}) == 1
        table = pa.Table.from_batches(scored)
        assert table.column_names == ["line", "trip", "feature_time", "probability", "model_version", "reason"]
        assert table["reason"].to_pylist() == [None, NOT_FINITE, NO_PROBABILITY, None]


def test_scoring_reads_no_further_ahead_than_it_works(echo: Model) -> None:
    batches = example_rows([0.5] * 50).to_batches(max_chunksize=1)
    taken = []

    def reading() -> Any:
        for batch in batches:
            taken.append(batch)
            yield batch

    scored = score_function(echo.path, "7", ["trip"], workers=2)(reading())
    next(scored)
    assert len(taken) == 3
    scored.close()

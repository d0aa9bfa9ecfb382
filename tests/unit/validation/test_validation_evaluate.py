"""What an evaluation says of a model, and what it refuses."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.evaluation import Evaluation, Footprint, read
from loopline.components.contract.gates import Scenario
from loopline.components.contract.metrics import FOOTPRINT_METRICS
from loopline.components.contract.model import Model
from loopline.components.errors import CorruptArtifactError, LooplineError
from loopline.components.io import digest
from loopline.components.validation.evaluate import evaluate
from loopline.components.validation.footprint import parameters
from loopline.components.validation.metrics import measure
from loopline.components.validation.robustness import perturbed
from loopline.components.validation.slices import LARGEST, slices


@pytest.fixture
def run(world):
    """Evaluate, and give back the folder of the evaluation."""

    def _run(usecase=None, model=None, examples=None):
        out = world.path("evaluation")
        evaluate(
            usecase or world.usecase(),
            model or world.model(),
            examples or world.examples(),
            out,
            out.with_suffix(".footprint.json"),
        )
        return out

    return _run


def test_every_labelled_row_is_scored_in_order(world, run):
    rows = world.rows(600)
    label = pc.if_else(pc.equal(pc.bit_wise_and(rows["thing"], 3), 0), None, rows["label"])
    examples = world.examples(rows.set_column(rows.schema.get_field_index("label"), "label", label))
    model = world.model()
    out = run(model=model, examples=examples)
    found, scores = read(Evaluation, out), pq.read_table(out / "scores.parquet")
    assert (found.rows, found.labelled) == (600, 450)
    assert scores.schema.names == ["thing", "seen_at", "label", "score"]
    assert scores["thing"].to_pylist() == [i for i in range(600) if i % 4]
    assert found.scores == digest.of_file(out / "scores.parquet")
    assert (found.model, found.examples) == (Model.open(model).digest, Dataset.open(examples).digest)
    expected = measure("binary_classification", scores["label"].to_numpy(), scores["score"].to_numpy().astype(float))
    assert found.metrics == expected
    assert 0.8 < found.metrics["auc"] < 0.95


def test_equal_inputs_give_equal_bytes(world, run):
    usecase, model, examples = world.usecase(), world.model(), world.examples()
    assert digest.of_tree(run(usecase, model, examples)) == digest.of_tree(run(usecase, model, examples))


def test_months_are_those_of_the_use_cases_timezone(world, run):
    # Seen from 1 January 05:00 UTC, midnight in New York, for sixty days: to the end of February there.
    found = read(Evaluation, run())
    assert list(found.months) == ["2024-01", "2024-02"]
    rows = world.rows()
    january = rows.filter(pc.less(rows["seen_at"], pa.scalar(1706763600_000_000, pa.timestamp("us", "UTC"))))
    assert found.months["2024-01"]["mean_seen"] == pytest.approx(pc.mean(january["label"]).as_py())


def test_slices_have_the_metrics_of_their_rows(world, run):
    out = run()
    found, scores, rows = read(Evaluation, out), pq.read_table(out / "scores.parquet"), world.rows()
    assert [(s.column, s.value) for s in found.slices] == [
        *[("colour", c) for c in ("blue", "green", "red")],
        *[("shop", s) for s in ("0", "1", "2", "(missing)")],
    ]
    for part in found.slices:
        inside = (
            np.array([str(v) if v is not None else "(missing)" for v in rows[part.column].to_pylist()]) == part.value
        )
        label, score = scores["label"].to_numpy()[inside], scores["score"].to_numpy()[inside].astype(float)
        assert part.rows == inside.sum()
        assert part.metrics == measure("binary_classification", label, score)


def test_a_small_slice_is_shown_but_not_judged(world, run):
    validation = {"slices": ["shop"], "slice_rows": 100, "gates": [{"metric": "auc", "min": 0.7}]}
    judged = {s.value: s.judged for s in read(Evaluation, run(world.usecase(validation=validation))).slices}
    assert judged == {"0": True, "1": True, "2": True, "(missing)": False}


def test_a_column_of_many_values_is_shown_by_its_largest():
    values = [v for v in range(80) for _ in range(v + 1)]
    found = slices(
        pa.chunked_array([values]), "n", "regression", np.arange(len(values)) * 1.0, np.ones(len(values)), 40
    )
    assert [int(part.value) for part in found] == list(range(80 - LARGEST, 80))
    assert [part.judged for part in found] == [v + 1 >= 40 for v in range(80 - LARGEST, 80)]


def test_scenarios_disturb_what_they_name(world, run):
    found = read(Evaluation, run())
    scenarios = {s.name: s.metrics for s in found.scenarios}
    # Without weather the model sees size and colour only; larger things look brighter, equally ranked.
    assert scenarios["no_weather"]["auc"] < found.metrics["auc"] - 0.02
    assert scenarios["larger"]["mean_predicted"] > found.metrics["mean_predicted"] + 0.2
    assert scenarios["larger"]["mean_seen"] == found.metrics["mean_seen"]


def test_a_shift_is_in_standard_deviations_and_leaves_missing_values_missing(world, run):
    rows = world.rows(4)
    size = pa.array([1.0, 2.0, None, 3.0])
    rows = rows.set_column(rows.schema.get_field_index("size"), "size", size)
    shifted = perturbed(rows, Scenario(name="s", shift={"size": -2.0}), world.features)["size"].to_pylist()
    deviation = np.std([1.0, 2.0, 3.0])
    assert shifted == [
        pytest.approx(1 - 2 * deviation),
        pytest.approx(2 - 2 * deviation),
        None,
        pytest.approx(3 - 2 * deviation),
    ]


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({"missing": ["wether"]}, r"'bad' empties 'wether'.*feature view \(weather\).*colour, size"),
        ({"shift": {"colour": 1.0}}, "'bad' shifts 'colour', which is no number.*size, warmth, wind"),
    ],
)
def test_a_scenario_that_names_no_feature_is_refused(world, run, scenario, message):
    validation = {"scenarios": [{"name": "bad", **scenario}], "gates": [{"metric": "auc", "min": 0.7}]}
    with pytest.raises(LooplineError, match=message):
        run(world.usecase(validation=validation))


def test_unseen_values_are_counted_where_the_model_says_what_it_saw(world, run):
    rows = world.rows()
    blue = pc.mean(pc.equal(rows["colour"], "blue").cast(pa.float64())).as_py()
    assert read(Evaluation, run()).unseen == {"colour": pytest.approx(blue)}
    assert read(Evaluation, run(model=world.model(facts={}))).unseen == {}


def test_no_label_at_all_is_one_sentence(world, run):
    rows = world.rows(20)
    examples = world.examples(
        rows.set_column(rows.schema.get_field_index("label"), "label", pa.nulls(20, pa.float64()))
    )
    with pytest.raises(LooplineError, match=r"none of the 20 examples .* has a label.*'lit' is known"):
        run(examples=examples)


def test_examples_without_a_column_that_is_sliced_by_are_refused(world, run):
    with pytest.raises(LooplineError, match=r"have no shop, which usecase\.yaml needs"):
        run(examples=world.examples(world.rows(20).drop_columns(["shop"])))


def test_a_label_that_is_no_class_is_refused(world, run):
    rows = world.rows(20)
    label = pa.array([0.0, 2.0] * 10)
    examples = world.examples(rows.set_column(rows.schema.get_field_index("label"), "label", label))
    with pytest.raises(LooplineError, match=r"10 labels are not 0 or 1, the first of them 2\.0.*'lit'"):
        run(examples=examples)


def test_labels_of_one_class_are_evaluated_without_auc(world, run):
    rows = world.rows(100)
    examples = world.examples(rows.set_column(rows.schema.get_field_index("label"), "label", pa.array([1.0] * 100)))
    out = run(examples=examples)
    assert "auc" not in read(Evaluation, out).metrics
    assert "NaN" not in (out / "evaluation.json").read_text()


def test_a_model_that_cannot_do_without_an_input_is_refused(world, run):
    with pytest.raises(LooplineError, match=r"no probability for 600 of 600 rows under scenario 'no_weather'.*nan"):
        run(model=world.model(blind_to_nan=False))


@pytest.mark.parametrize("what", ["model", "examples"])
def test_corrupt_bytes_are_refused_and_nothing_is_written(world, run, what):
    paths = {"model": world.model(), "examples": world.examples()}
    file = next(f for f in sorted(paths[what].rglob("*")) if f.suffix in (".onnx", ".parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CorruptArtifactError):
        run(**paths)
    assert not list(world.root.glob("evaluation*"))


def test_regression_has_its_own_metrics_and_no_curves(world, run, regression):
    out = run(world.usecase(**regression), world.model(task="regression"), world.examples(task="regression"))
    found = read(Evaluation, out)
    assert list(found.metrics) == ["rmse", "mae", "r2", "calibration_error", "mean_predicted", "mean_seen"]
    assert found.metrics["rmse"] == pytest.approx(0.5, abs=0.05)
    assert found.curves.roc == found.curves.precision_recall == found.curves.confusion == []
    assert len(found.curves.calibration) == 10


def test_the_footprint_is_of_the_graph_that_ships(world, run):
    from onnx import load, numpy_helper

    model = world.model()
    out = run(model=model)
    footprint = read(Footprint, out.with_suffix(".footprint.json"))
    graph = Model.open(model).onnx
    assert tuple(footprint.metrics) == FOOTPRINT_METRICS
    assert footprint.metrics["model_bytes"] == graph.stat().st_size
    counted = sum(numpy_helper.to_array(tensor).size for tensor in load(graph).graph.initializer)
    assert footprint.metrics["parameters"] == parameters(graph) == counted == 4
    assert 0 < footprint.metrics["latency_p50_ms"] <= footprint.metrics["latency_p99_ms"]


def test_the_evaluation_reads_as_plain_json(run):
    json.loads((run() / "evaluation.json").read_text(), parse_constant=pytest.fail)

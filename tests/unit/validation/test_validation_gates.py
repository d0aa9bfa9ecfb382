"""Gates: each kind passes, fails, and is refused where it names what is not there."""

import pytest

from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.evaluation import Curves, Evaluation, Footprint, ScenarioResult, Slice, Verdict, read
from loopline.components.errors import LooplineError
from loopline.components.validation.gate_numbers import distinct, number
from loopline.components.validation.gates import check_gates, write_summary

METRICS = {"auc": 0.712, "calibration_error": 0.03, "mean_seen": 0.2}


def cut(value, auc, *, rows=100, judged=True, **more):
    metrics = {**({} if auc is None else {"auc": auc}), **more}
    return Slice(column="colour", value=value, rows=rows, judged=judged, metrics=metrics)


@pytest.fixture
def hold(world):
    """Hold one gate, or several, against an evaluation with some slices and scenarios."""

    def _hold(
        *gates, metrics=METRICS, slices=(), scenarios=(), model="sha256:m", usecase_name="tiny", policy=UNCHANGED
    ):
        usecase = world.usecase(
            validation={
                "slices": ["colour"],
                "slice_rows": 50,
                "scenarios": [{"name": "no_weather", "missing": ["weather"]}],
                "gates": list(gates),
            }
        )
        evaluation = Evaluation(
            usecase=usecase_name,
            task="binary_classification",
            model="sha256:m",
            examples="sha256:e",
            start="2024-01-01",
            end="2024-02-01",
            rows=100,
            labelled=100,
            metrics=metrics,
            months={},
            curves=Curves(),
            slices=list(slices),
            scenarios=list(scenarios),
        )
        footprint = Footprint(model=model, metrics={"latency_p99_ms": 3.2, "model_bytes": 20_000.0})
        files = [world.path(name) for name in ("evaluation", "footprint", "verdict")]
        for file, document in zip(files, (evaluation, footprint), strict=False):
            file.write_text(document.model_dump_json())
        verdict = check_gates(usecase, *files, policy)
        assert read(Verdict, files[2]) == verdict
        return verdict

    return _hold


def only(verdict):
    (gate,) = verdict.gates
    return gate.passed, gate.value, gate.sentence


def test_an_environment_has_gates_of_its_own(hold):
    stricter = EnvironmentPolicy.parse("gates: [{metric: auc, min: 0.8}, {metric: latency_p99_ms, max: 10}]")
    verdict = hold({"metric": "auc", "min": 0.7}, policy=stricter)
    assert [gate.passed for gate in verdict.gates] == [False, True]
    assert "below 0.8" in verdict.reason


def test_a_gate_over_all_rows(hold):
    assert only(hold({"metric": "auc", "min": 0.7})) == (True, 0.712, "auc 0.712 is at least 0.700")
    assert only(hold({"metric": "auc", "min": 0.74})) == (False, 0.712, "auc 0.712 is below 0.740")
    assert only(hold({"metric": "calibration_error", "max": 0.02}))[2] == "calibration_error 0.030 is above 0.020"


def test_a_gate_on_the_footprint(hold):
    assert only(hold({"metric": "latency_p99_ms", "max": 10}))[2] == "latency_p99_ms 3.200 is at most 10"
    assert only(hold({"metric": "model_bytes", "max": 10_000}))[2] == "model_bytes 20,000 is above 10,000"


@pytest.mark.parametrize("bound", ["min", "max"])
def test_a_value_on_its_bound_passes(hold, bound):
    assert only(hold({"metric": "auc", bound: 0.712}))[0]


def test_a_gate_with_two_bounds_holds_both(hold):
    assert only(hold({"metric": "mean_seen", "min": 0.1, "max": 0.3}))[0]
    assert only(hold({"metric": "mean_seen", "min": 0.1, "max": 0.15}))[2] == "mean_seen 0.200 is above 0.150"
    assert only(hold({"metric": "mean_seen", "min": 0.25, "max": 0.3}))[2] == "mean_seen 0.200 is below 0.250"


def test_a_gate_on_a_slice_holds_in_the_worst_judged_one(hold):
    slices = [cut("red", 0.8), cut("green", 0.712), cut("blue", 0.5, rows=20, judged=False)]
    failed = only(hold({"metric": "auc", "slice": "colour", "min": 0.74}, slices=slices))
    assert failed == (False, 0.712, "auc 0.712 in colour=green, the worst of 2 judged, is below 0.740")
    assert only(hold({"metric": "auc", "slice": "colour", "max": 0.79}, slices=slices))[1] == 0.8


def test_a_slice_that_does_not_define_the_metric_is_not_judged_by_it(hold):
    slices = [cut("red", None), cut("green", 0.75)]
    assert only(hold({"metric": "auc", "slice": "colour", "min": 0.74}, slices=slices))[:2] == (True, 0.75)


def test_a_gate_on_slices_of_which_none_is_judged_fails(hold):
    passed, value, sentence = only(
        hold({"metric": "auc", "slice": "colour", "min": 0.1}, slices=[cut("red", 0.9, rows=20, judged=False)])
    )
    assert (passed, value) == (False, None)
    assert sentence == "auc could be measured in no slice of colour: none has 50 rows and labels that define it"


def test_a_gate_under_a_scenario(hold):
    scenarios = [ScenarioResult(name="no_weather", metrics={"auc": 0.65})]
    gate = {"metric": "auc", "scenario": "no_weather", "min": 0.7}
    assert only(hold(gate, scenarios=scenarios)) == (False, 0.65, "auc 0.650 under no_weather is below 0.700")


def test_a_metric_that_the_labels_do_not_define_fails_its_gate(hold):
    found = only(hold({"metric": "auc", "min": 0.7}, metrics={"brier": 0.1}))
    assert found == (False, None, "auc is not defined by these labels: they are all alike")


def test_the_reason_names_every_failed_gate_or_says_that_all_passed(hold):
    gates = [{"metric": "auc", "min": 0.74}, {"metric": "mean_seen", "min": 0.1}, {"metric": "model_bytes", "max": 5}]
    verdict = hold(*gates)
    assert not verdict.passed
    assert verdict.reason == "2 of 3 gates failed: auc 0.712 is below 0.740; model_bytes 20,000 is above 5"
    assert hold(*gates[1:2]).reason == "the only gate passed"


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "auroc", "min": 0.5}, "metric 'auroc'.*known: auc, .*latency_p99_ms"),
        ({"metric": "rmse", "max": 0.5}, "metric 'rmse'.*known: auc"),
        ({"metric": "auc", "slice": "shop", "min": 0.5}, "'shop' is not among slices: colour"),
        ({"metric": "latency_p99_ms", "slice": "colour", "max": 5}, "metric 'latency_p99_ms'"),
        ({"metric": "auc", "scenario": "storm", "min": 0.5}, "'storm' is not among scenarios: no_weather"),
        ({"metric": "auc", "slice": "colour", "min": 0.5}, "slice 'colour'.*known: none"),
        ({"metric": "auc", "scenario": "no_weather", "min": 0.5}, "scenario 'no_weather'.*known: none"),
    ],
)
def test_a_gate_on_what_the_evaluation_does_not_hold_is_refused(hold, gate, message):
    with pytest.raises(LooplineError, match=message):
        hold(gate)


def test_evaluation_and_footprint_of_different_models_are_refused(hold):
    with pytest.raises(LooplineError, match="of model m but the footprint of other"):
        hold({"metric": "auc", "min": 0.7}, model="sha256:other")


def test_an_evaluation_of_another_use_case_is_refused(hold):
    with pytest.raises(LooplineError, match="of use case flights, the gates are of tiny"):
        hold({"metric": "auc", "min": 0.7}, usecase_name="flights")


def test_the_summary_is_a_table_of_the_gates(hold, tmp_path):
    write_summary(hold({"metric": "auc", "min": 0.74}), tmp_path / "summary.md")
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("# Gates failed\n")
    assert "| auc 0.712 is below 0.740 | **fail** |" in text


@pytest.mark.parametrize(
    ("value", "bound", "texts"),
    [
        (0.7399996, 0.74, ("0.7399996", "0.7400000")),
        (0.74, 0.74, ("0.740", "0.740")),
        (20_000_000.4, 20_000_000, ("20,000,000.4", "20,000,000.0")),
        (5.0, 10.0, ("5", "10")),
    ],
)
def test_a_number_and_its_bound_are_told_distinct(value, bound, texts):
    assert distinct(value, bound) == texts


def test_small_numbers_keep_their_digits():
    assert [number(v) for v in (0.0, 0.00012, -0.5, 0.9999, 1.0, 1234.5)] == [
        "0.000", "0.00012", "-0.500", "1.000", "1.000", "1,234",
    ]  # fmt: skip

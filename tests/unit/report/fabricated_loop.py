"""A small loop with all that its steps leave, made through the contract's own classes."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopline.compiler import steps
from loopline.components.contract import dataset
from loopline.components.contract.evaluation import (
    CalibrationBin,
    Comparison,
    Curves,
    Evaluation,
    Footprint,
    GateResult,
    ScenarioResult,
    Slice,
    Verdict,
)
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.io import atomic
from loopline.images import catalogue
from loopline.local.records import Output, RunRecord, StepRecord

STAGES = {component: stage for stage in catalogue.STAGES for component in steps.declared(stage)}
FIRST, SECOND = "sha256:" + "1a" * 32, "sha256:" + "2b" * 32
WINDOWS = {"training": ("2013-01-01T05:00:00", "2013-05-01T04:00:00")}
REUSED = "same code, lock, parameters and inputs as in run training-20261123-010100"
MAY = ("2013-05-01T04:00:00", "2013-06-01T04:00:00")
JUNE = ("2013-06-01T04:00:00", "2013-07-01T04:00:00")
JULY = ("2013-07-01T04:00:00", "2013-08-01T04:00:00")


@dataclass
class FabricatedLoop:
    """Runs as the loop hands them to the report, with the registry's models and the spec."""

    folder: Path
    spec: UseCaseSpec
    runs: list[RunRecord]
    models: list[dict[str, Any]]


class Fabric:
    """Makes runs whose outputs lie below a folder."""

    def __init__(self, folder: Path, task: str, carrier: str = "AA") -> None:
        self.folder, self.task, self.carrier = folder, task, carrier
        self.minute = 0

    def loop(self, better: bool) -> FabricatedLoop:
        gain = 0.0104 if better else 0.0011
        runs = [self.training(), self.validation(), self.batch(), self.materialise(), self.retrain(gain, better)]
        models = [
            self.model(1, FIRST, ["candidate", "previous"] if better else ["candidate", "champion"], "2013-05", 0.766),
            self.model(2, SECOND, ["challenger", "champion"] if better else ["challenger"], "2013-07", 0.741 + gain),
        ]
        return FabricatedLoop(self.folder, spec(self.task), runs, models)

    def training(self) -> RunRecord:
        return self.run(
            "training",
            [
                *self.examples("training-examples", WINDOWS["training"]),
                *self.examples("evaluation-examples", MAY),
                self.step("train", ["training-examples/join-features"], 9.12),
                self.step("package", ["train", "training-examples/join-features"], 2.4),
                self.evaluate("evaluate", ["package", "evaluation-examples/join-features"], FIRST, MAY, 0.766),
                self.step("register", ["package", "evaluate"], 1.8, values={"Output": 1}),
            ],
        )

    def validation(self) -> RunRecord:
        verdict = self.verdict(FIRST)
        card = self.text(
            "card.md",
            "# Model card\n\nFor *flights* <b>bold</b> ![x](http://x.example/a.png)\n\n"
            f"| a | b |\n|--|--|\n| {self.carrier} | 2 |\n",
        )
        return self.run(
            "validation",
            [
                self.step("fetch-model", [], 0.6),
                *self.examples("evaluation-examples", MAY, state="cached"),
                self.evaluate("evaluate", ["fetch-model", "evaluation-examples/join-features"], FIRST, MAY, 0.766),
                self.step("check-gates", ["evaluate"], 0.3, outputs={"verdict": verdict}, values={"Output": "pass"}),
                self.step("write-card", ["evaluate", "check-gates"], 0.2, outputs={"card": card}),
                self.promote("1", "there was none to compare with", ["check-gates"]),
            ],
        )

    def batch(self) -> RunRecord:
        facts = {
            "window": list(JUNE),
            "model_version": "1",
            "rows_in": 28_243,
            "rows_out": 28_231,
            "rows_quarantined": 12,
        }
        predictions = self.dataset("predictions", {"predictions": pa.table({"probability": [0.2]})}, facts)
        receipt = self.json(
            "publish.json", '{"path": "predictions/flights/current", "dates": {"2013-06-01": 754, "2013-06-02": 911}}'
        )
        return self.run(
            "batch-inference",
            [
                self.step("fetch-model", [], 0.5),
                *self.examples("batch-examples", JUNE, bad=True),
                self.step(
                    "predict", ["fetch-model", "batch-examples/join-features"], 1.3, {"predictions": predictions}
                ),
                self.step("publish", ["predict"], 0.4, {"receipt": receipt}),
            ],
        )

    def materialise(self) -> RunRecord:
        report = self.text("skew.md", "# Feature skew\n\nAll 1,000 values are equal.\n")
        return self.run(
            "materialise",
            [
                *self.examples("batch-history", JUNE, state="cached")[:3],
                self.step("materialise", ["batch-history/build-features"], 9.8),
                self.step("check-skew", ["materialise", "batch-history/validate-data"], 8.1, {"report": report}),
            ],
        )

    def retrain(self, gain: float, better: bool) -> RunRecord:
        compared = self.comparison(gain, better)
        decided = "better" if better else "not_better"
        promote = self.promote("2", "it passed its gates", ["register", "check-gates", "compare"])
        if not better:
            promote = StepRecord(
                name="promote",
                task="promote",
                stage="registry",
                component="promote",
                needs=promote.needs,
                state="skipped",
                why="its condition did not hold",
            )
        return self.run(
            "retrain",
            [
                *self.examples("training-examples", ("2013-03-01T05:00:00", JULY[0])),
                *self.examples("comparison-examples", JULY),
                self.step("train", ["training-examples/join-features"], 8.7),
                self.step("package", ["train", "training-examples/join-features"], 2.2),
                self.step("fetch-model", [], 0.5),
                self.evaluate(
                    "evaluate-challenger", ["package", "comparison-examples/join-features"], SECOND, JULY, 0.741 + gain
                ),
                self.evaluate(
                    "evaluate-champion", ["fetch-model", "comparison-examples/join-features"], FIRST, JULY, 0.741
                ),
                self.step("register", ["package", "evaluate-challenger"], 1.1, values={"Output": 2}),
                self.step(
                    "check-gates", ["evaluate-challenger"], 0.3, {"verdict": self.verdict(SECOND)}, {"Output": "pass"}
                ),
                self.step(
                    "compare",
                    ["evaluate-champion", "evaluate-challenger"],
                    3.2,
                    {"comparison": compared},
                    {"Output": decided},
                ),
                promote,
            ],
        )

    def examples(
        self, group: str, window: tuple[str, str], state: str = "succeeded", bad: bool = False
    ) -> list[StepRecord]:
        names = [f"{group}/{verb}" for verb in ("ingest", "validate-data", "build-features", "join-features")]
        rows = pa.table({"carrier": [self.carrier, "UA"], "distance": [500.0, 900.0]})
        refused = pa.table(
            {"carrier": [self.carrier] * bad, "distance": ["-3"] * bad, "reason": ["distance is below 50"] * bad}
        )
        columns = {
            "carrier": {
                "type": "string",
                "missing": 0.0,
                "distinct": 2,
                "min": None,
                "mean": None,
                "max": None,
                "histogram": [(self.carrier, 17_000), ("UA", 11_243)],
            },
            "distance": {
                "type": "float",
                "missing": 0.004,
                "distinct": 211,
                "min": 80.0,
                "mean": 1039.9,
                "max": 4983.0,
                "histogram": [(f"{80 + 306 * i}", round(9000 * math.exp(-((i - 3) ** 2) / 8))) for i in range(16)],
            },
        }
        facts = {
            "window": list(window),
            "profile": {"flights": {"rows_in": 3, "columns": columns}},
            "rows_quarantined": {"flights": int(bad)},
            "reasons": {"flights": {"distance is below 50": 1} if bad else {}},
        }
        place = f"{group}-{window[0][:10]}"
        data = self.dataset(f"{place}-data", {"flights": rows}, facts)
        quarantine = self.dataset(f"{place}-quarantine", {"flights": refused}, {})
        joined = self.dataset(f"{place}-examples", {"examples": rows}, {"window": list(window)})
        outputs: list[dict[str, Output]] = [{}, {"data": data, "quarantine": quarantine}, {}, {"examples": joined}]
        return [
            self.step(name, names[max(i - 1, 0) : i], 0.7 + i, outputs[i], state=state) for i, name in enumerate(names)
        ]

    def evaluate(self, name: str, needs: list[str], model: str, window: tuple[str, str], auc: float) -> StepRecord:
        regression = self.task == "regression"
        metrics = (
            {
                "rmse": 60 - 40 * auc,
                "mae": 21.3,
                "r2": 0.2,
                "calibration_error": 1.2,
                "mean_predicted": 7.1,
                "mean_seen": 6.9,
            }
            if regression
            else {
                "auc": auc,
                "average_precision": auc - 0.24,
                "log_loss": 0.44,
                "brier": 0.142,
                "calibration_error": 0.0123,
                "mean_predicted": 0.221,
                "mean_seen": 0.2278,
            }
        )
        main = "rmse" if regression else "auc"
        power = (1 - auc) / auc
        steps = [i / 60 for i in range(61)]
        curves = Curves(
            roc=[] if regression else [(x, x**power, 1 - x) for x in steps],
            precision_recall=[] if regression else [(x, 0.23 + 0.7 * (1 - x) ** (5 * power), 1 - x) for x in steps],
            calibration=[
                CalibrationBin(
                    predicted=p * (60 if regression else 1),
                    seen=(p * 0.92 + 0.01) * (60 if regression else 1),
                    rows=int(6000 * (1 - p) ** 2) + 5,
                )
                for p in (0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
            ],
            confusion=[] if regression else [[17_000, 4000], [2600, 4200]],
            threshold=0.27,
        )
        values = {"carrier": [self.carrier, "9E", "B6", "DL", "EV", "HA", "UA"], "origin": ["EWR", "JFK", "LGA"]}
        evaluation = Evaluation(
            usecase="flights",
            task=self.task,  # type: ignore[arg-type]
            model=model,
            examples="sha256:" + "3c" * 32,
            start=window[0],
            end=window[1],
            rows=28_796,
            labelled=28_128,
            metrics=metrics,
            months={window[0][:7]: metrics},
            curves=curves,
            slices=[
                Slice(
                    column=column,
                    value=value,
                    rows=31 if value == "HA" else 4000 - 300 * i,
                    judged=value != "HA",
                    metrics={**metrics, main: metrics[main] * (1 - 0.013 * i)},
                )
                for column, some in values.items()
                for i, value in enumerate(some)
            ],
            scenarios=[
                ScenarioResult(name=name, metrics={**metrics, main: metrics[main] - lost})
                for name, lost in {"missing_weather": 0.012, "missing_delays": 0.105, "shifted_delays": 0.004}.items()
            ],
        )
        place = self.folder / f"{name}-{model[7:11]}-{window[0][:7]}"
        atomic.write_text(place / "evaluation.json", evaluation.model_dump_json())
        footprint = Footprint(
            model=model,
            metrics={
                "model_bytes": 412_000.0,
                "parameters": 61_213.0,
                "latency_p50_ms": 0.04,
                "latency_p99_ms": 0.11,
                "rows_per_second": 812_000.0,
            },
        )
        outputs = {
            "evaluation": self.output("Artifact", place),
            "footprint": self.json(f"{place.name}-fp.json", footprint.model_dump_json()),
        }
        return self.step(name, needs, 2.6, outputs)

    def verdict(self, model: str) -> Output:
        metric = "rmse" if self.task == "regression" else "auc"
        gates = [
            GateResult(
                gate={"metric": metric, "min": 0.74},
                value=0.766,
                passed=True,
                sentence=f"{metric} 0.766 is at least 0.740",
            ),
            GateResult(
                gate={"metric": metric, "slice": "carrier", "min": 0.6},
                value=0.69,
                passed=True,
                sentence=f"{metric} 0.690 in carrier=HA (the worst of 12 judged) is at least 0.600",
            ),
            GateResult(
                gate={"metric": metric, "scenario": "missing_weather", "min": 0.7},
                value=None,
                passed=True,
                sentence="not defined",
            ),
            GateResult(
                gate={"metric": "model_bytes", "max": 2e7},
                value=412_000.0,
                passed=True,
                sentence="model_bytes 412,000 is at most 20,000,000",
            ),
        ]
        verdict = Verdict(model=model, passed=True, reason="all 4 gates passed", gates=gates)
        return self.json(f"verdict-{model[7:11]}.json", verdict.model_dump_json())

    def comparison(self, gain: float, better: bool) -> Output:
        comparison = Comparison(
            champion=FIRST,
            challenger=SECOND,
            metric="auc",
            rows=28_128,
            champion_value=0.741,
            challenger_value=0.741 + gain,
            gain=gain,
            low=gain - 0.003,
            high=gain + 0.0031,
            confidence=0.95,
            resamples=500,
            better=better,
            reason=f"challenger's auc {0.741 + gain:.4f} against champion's 0.7410 on the same 28,128 rows",
            champion_metrics={"auc": 0.741, "average_precision": 0.52, "calibration_error": 0.02},
            challenger_metrics={"auc": 0.741 + gain, "average_precision": 0.54, "calibration_error": 0.011},
        )
        return self.json("comparison.json", comparison.model_dump_json())

    def promote(self, version: str, reason: str, needs: list[str]) -> StepRecord:
        text = f'{{"from": null, "to": "{version}", "outcome": "promoted", "reason": "{reason}"}}'
        receipt = {"receipt": self.json(f"promote-{version}.json", text)}
        return self.step("promote", needs, 0.4, receipt, {"Output": "promoted"})

    def model(self, version: int, digest: str, aliases: list[str], month: str, auc: float) -> dict[str, Any]:
        main = (
            {"rmse": 29.2, "mae": 21.3, "r2": 0.2}
            if self.task == "regression"
            else {"auc": auc, "average_precision": auc - 0.24}
        )
        return {
            "version": version,
            "aliases": aliases,
            "digest": digest,
            "metrics": {month: {**main, "calibration_error": 0.0123, "mean_predicted": 0.221, "mean_seen": 0.2278}},
            "lineage": {
                "examples": "sha256:" + "4d" * 32,
                "feature_views": '{"weather": "sha256:' + "6f" * 32 + '"}',
                "code": "519edd1",
            },
            "created": "2013-06-01T00:00:00+00:00",
        }

    def run(self, pipeline: str, steps: list[StepRecord]) -> RunRecord:
        self.minute += 1
        return RunRecord(
            id=f"{pipeline}-20261123-01{self.minute:02d}00",
            pipeline=pipeline,
            usecase="loopline.usecases.flights",
            parameters={"usecase": "loopline.usecases.flights", "start": "2013-01-01", "end": "2013-05-01"},
            state="succeeded",
            started=f"2026-11-23T01:{self.minute:02d}:00.000+00:00",
            seconds=sum(step.seconds for step in steps),
            steps=steps,
        )

    def step(
        self,
        name: str,
        needs: list[str],
        seconds: float,
        outputs: dict[str, Output] | None = None,
        values: dict[str, Any] | None = None,
        state: str = "succeeded",
    ) -> StepRecord:
        cached = state == "cached"
        verb = name.rpartition("/")[2]
        component = "evaluate" if verb.startswith("evaluate") else verb.replace("-", "_")
        return StepRecord(
            name=name,
            task=name.rpartition("/")[2],
            stage=STAGES[component],
            component=component,
            needs=needs,
            state=state,  # type: ignore[arg-type]
            seconds=0 if cached else seconds,
            why=REUSED if cached else "never ran with these parameters",
            outputs=outputs or {},
            values=values or {},
        )

    def dataset(self, name: str, tables: dict[str, pa.Table], facts: dict[str, Any]) -> Output:
        return self.output("Dataset", dataset.write(self.folder / name, tables, facts).path)

    def json(self, name: str, text: str) -> Output:
        return self.text(name, text)

    def text(self, name: str, text: str) -> Output:
        atomic.write_text(self.folder / name, text)
        return self.output("Artifact", self.folder / name)

    def output(self, kind: str, path: Path) -> Output:
        return Output(kind=kind, uri=str(path), digest="sha256:" + "5e" * 32)


def spec(task: str) -> UseCaseSpec:
    timestamp = {"type": "timestamp"}
    gate = {"metric": "rmse" if task == "regression" else "auc", "min": 0.5}
    may, june, july = ([f"2013-0{month}-01", f"2013-0{month + 1}-01"] for month in (5, 6, 7))
    return UseCaseSpec.model_validate(
        {
            "name": "flights",
            "description": "Will this flight arrive more than 15 minutes late?",
            "task": task,
            "timezone": "America/New_York",
            "entity": {"table": "flights", "keys": ["carrier", "at"], "timestamp": "at", "lead": "1h"},
            "label": {"column": "late", "known_at": "arrived_at"},
            "tables": {
                "flights": {
                    "timestamp": "at",
                    "columns": {
                        "carrier": {"type": "string"},
                        "distance": {"type": "float"},
                        "at": timestamp,
                        "arrived_at": timestamp,
                        "late": {"type": "float"},
                    },
                }
            },
            "features": {"request": ["carrier", "distance"]},
            "validation": {"gates": [gate]},
            "retrain": {"window": "120d", "metric": gate["metric"]},
            "replay": {"train": ["2013-01-01", "2013-05-01"], "validate": may, "batch": june, "compare": july},
        }
    )

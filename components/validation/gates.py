"""Check a model against the gates of its use case."""

from collections.abc import Sequence
from pathlib import Path

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.evaluation import Evaluation, Footprint, GateResult, Metrics, Verdict, read
from loopline.components.contract.gates import Gate
from loopline.components.contract.metrics import EVALUATION_METRICS, FOOTPRINT_METRICS
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.pages.formatting import short
from loopline.components.validation.gate_numbers import distinct


def check_gates(
    usecase: str,
    evaluation_path: Path | str,
    footprint_path: Path | str,
    verdict_path: Path | str,
    policy: EnvironmentPolicy = UNCHANGED,
) -> Verdict:
    """Check every gate of usecase.yaml, or of the environment's policy, and write the verdict.

    A value equal to its bound passes. A gate on a slice column is checked in the worst slice that is judged and whose
    rows define the metric; where there is none, or where the rows do not define the metric, the gate fails.

    Args:
        usecase: package of the use case.
        evaluation_path: folder of an evaluation.
        footprint_path: footprint of the same model.
        verdict_path: the JSON file to write.
        policy: what the environment changes of the use case's gates.

    Raises:
        LooplineError: the two are of different models or of another use case, or a gate names an unknown metric, slice
            or scenario.
    """
    spec = policy.applied_to(contract_usecase.load(usecase).spec)
    evaluation, footprint = read(Evaluation, evaluation_path), read(Footprint, footprint_path)
    if evaluation.model != footprint.model:
        raise LooplineError(
            f"the evaluation is of model {short(evaluation.model)} but the footprint of {short(footprint.model)}: "
            "evaluate the model again, which writes both"
        )
    if evaluation.usecase != spec.name:
        raise LooplineError(f"the evaluation is of use case {evaluation.usecase}, the gates are of {spec.name}")
    gates = [_checked(gate, spec.validation.slice_rows, evaluation, footprint) for gate in spec.validation.gates]
    failed = [gate.sentence for gate in gates if not gate.passed]
    verdict = Verdict(
        model=evaluation.model,
        passed=not failed,
        reason=f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}"
        if failed
        else (f"all {len(gates)} gates passed" if len(gates) > 1 else "the only gate passed"),
        gates=gates,
    )
    atomic.write_text(Path(verdict_path), verdict.model_dump_json(indent=1) + "\n")
    return verdict


def write_summary(verdict: Verdict, path: Path | str) -> None:
    """Write the verdict as Markdown."""
    heading = f"# Gates {'passed' if verdict.passed else 'failed'}"
    lines = [heading, "", f"Model `{short(verdict.model)}`: {verdict.reason}.", "", *table(verdict), ""]
    atomic.write_text(Path(path), "\n".join(lines))


def table(verdict: Verdict) -> list[str]:
    """The gates as the lines of a Markdown table."""
    rows = [f"| {gate.sentence} | {'pass' if gate.passed else '**fail**'} |" for gate in verdict.gates]
    return ["| Gate | |", "|---|---|", *rows]


def _checked(gate: Gate, least: int, evaluation: Evaluation, footprint: Footprint) -> GateResult:
    places = _places(gate, evaluation, footprint)
    measured = [(place, metrics[gate.metric]) for place, metrics in places if gate.metric in metrics]
    described = gate.model_dump(exclude_none=True)
    if not measured:
        return GateResult(gate=described, value=None, passed=False, sentence=gate.metric + _nowhere(gate, least))
    place, value = min(measured, key=lambda one: _nearest_bound(gate, one[1]))
    margin, bound, relation = _nearest_bound(gate, value)
    worst = f", the worst of {len(measured)} judged," if gate.slice else ""
    text, bound_text = distinct(value, bound)
    sentence = f"{gate.metric} {text}{place}{worst} is {relation} {bound_text}"
    return GateResult(gate=described, value=value, passed=margin >= 0, sentence=sentence)


def _places(gate: Gate, evaluation: Evaluation, footprint: Footprint) -> list[tuple[str, Metrics]]:
    """Where the gate applies, as part of a sentence, and the metrics there."""
    known = EVALUATION_METRICS[evaluation.task]
    if gate.slice:
        _refuse_unknown(gate, "metric", gate.metric, known)
        _refuse_unknown(gate, "slice", gate.slice, list(dict.fromkeys(s.column for s in evaluation.slices)))
        return [
            (f" in {s.column}={s.value}", s.metrics) for s in evaluation.slices if s.column == gate.slice and s.judged
        ]
    if gate.scenario:
        _refuse_unknown(gate, "metric", gate.metric, known)
        _refuse_unknown(gate, "scenario", gate.scenario, [s.name for s in evaluation.scenarios])
        return [(f" under {s.name}", s.metrics) for s in evaluation.scenarios if s.name == gate.scenario]
    _refuse_unknown(gate, "metric", gate.metric, [*known, *FOOTPRINT_METRICS])
    return [("", {**evaluation.metrics, **footprint.metrics})]


def _refuse_unknown(gate: Gate, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise LooplineError(
            f"a gate on {gate.metric} names the {what} '{name}', which is not measured here; "
            f"known: {', '.join(known) or 'none'}"
        )


def _nearest_bound(gate: Gate, value: float) -> tuple[float, float, str]:
    """The bound with the smallest margin: the margin, negative outside; the bound; the relation."""
    bounds = []
    if gate.min is not None:
        bounds.append((value - gate.min, gate.min, "at least" if value >= gate.min else "below"))
    if gate.max is not None:
        bounds.append((gate.max - value, gate.max, "at most" if value <= gate.max else "above"))
    return min(bounds)


def _nowhere(gate: Gate, least: int) -> str:
    if gate.slice:
        return f" could be measured in no slice of {gate.slice}: none has {least:,} rows and labels that define it"
    place = f" under {gate.scenario}" if gate.scenario else ""
    return f"{place} is not defined by these labels: they are all alike"

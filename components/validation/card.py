"""The model card: what a model is, what it was trained on, how it was evaluated, and what its owners state about it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.evaluation import Evaluation, Footprint, Slice, Verdict, read
from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.pages.formatting import counted, number, percent, share, short, window
from loopline.components.pages.metric_names import metric_heading, metric_name, metric_value
from loopline.components.validation.gates import table as gate_table
from loopline.components.validation.metrics import leading
from loopline.components.validation.statements import FILE, Statements

Lines = list[str]


def write_card(
    usecase: str,
    model_path: Path | str,
    evaluation_path: Path | str,
    footprint_path: Path | str,
    verdict_path: Path | str,
    card_path: Path | str,
) -> None:
    """Write the model card as Markdown, from measurements and from what the use case states in its card.md.

    Sections after Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Args:
        usecase: package of the use case.
        model_path: the packaged model; it is verified.
        evaluation_path: folder of its evaluation.
        footprint_path: its footprint.
        verdict_path: its verdict.
        card_path: the file to write.

    Raises:
        LooplineError: they are not all of one model, or card.md states an unknown item.
    """
    case = contract_usecase.load(usecase)
    model = Model.open(model_path)
    evaluation, footprint = read(Evaluation, evaluation_path), read(Footprint, footprint_path)
    verdict = read(Verdict, verdict_path)
    for part, of in {"evaluation": evaluation.model, "footprint": footprint.model, "verdict": verdict.model}.items():
        if of != model.digest:
            raise LooplineError(
                f"the {part} is of model {short(of)}, not of {short(model.digest)}: a card is about one model"
            )
    stated = Statements(case.folder / FILE, f"{usecase.replace('.', '/')}/{FILE}")
    sections: dict[str, Lines] = {
        "Model Details": _details(case.spec, model, footprint, stated),
        "Intended Use": _intended_use(case.spec, stated),
        "Training Data": _training_data(case.spec, model, stated),
        "Evaluation": _evaluation(evaluation, verdict, stated, case.spec.timezone),
        "Ethical Considerations": _ethics(evaluation, stated),
        "Maintenance": _maintenance(case.spec, stated),
    }
    text = f"# Model Card: {case.spec.name}\n"
    text += "".join(f"\n## {heading}\n\n" + "\n".join(lines) + "\n" for heading, lines in sections.items())
    atomic.write_text(Path(card_path), text)


def _details(spec: UseCaseSpec, model: Model, footprint: Footprint, stated: Statements) -> Lines:
    return [
        stated.line("Developer"),
        f"- Model type: {spec.task.replace('_', ' ')}; output `{model.signature.output}`",
        f"- Version: assigned by the registry; this card describes the model with digest `{model.digest}`",
        stated.line("License"),
        *(f"- {key}: {value}" for key, value in _flat(model.provenance)),
        *(f"- {metric_heading(metric)}: {metric_value(metric, value)}" for metric, value in footprint.metrics.items()),
    ]


def _intended_use(spec: UseCaseSpec, stated: Statements) -> Lines:
    lead = f", made {spec.entity.lead / timedelta(hours=1):g} h before its `{spec.entity.timestamp}`"
    return [
        f"- Primary use case: {spec.description}",
        f"- Prediction: `{spec.label.column}` of one row of `{spec.entity.table}`{lead if spec.entity.lead else ''}",
        stated.line("Out-of-scope uses"),
        stated.line("Users"),
    ]


def _training_data(spec: UseCaseSpec, model: Model, stated: Statements) -> Lines:
    kinds = {kind: [f.name for f in model.signature.inputs if f.kind == kind] for kind in ("number", "category")}
    return [
        stated.line("Data sources"),
        f"- Raw tables: {', '.join(f'`{table}`' for table in spec.tables)}",
        f"- Numerical inputs: {_listed(kinds['number'])}",
        f"- Categorical inputs: {_listed(kinds['category'])}",
        "- Preprocessing: part of the model's graph, which takes these inputs raw",
        "",
        "Recorded by training:",
        "",
        *(f"- {key}: {value}" for key, value in _flat(model.facts)),
    ]


def _evaluation(evaluation: Evaluation, verdict: Verdict, stated: Statements, timezone: str) -> Lines:
    names = list(evaluation.metrics)
    results = {"all rows": evaluation.metrics, **{f"under {s.name}": s.metrics for s in evaluation.scenarios}}
    rows = f"{counted(evaluation.labelled, 'row')} with a label, of {evaluation.rows:,}"
    period = f"{window((evaluation.start, evaluation.end), timezone)} ({timezone})"
    return [
        f"{rows}, {period}, examples `{short(evaluation.examples)}`.",
        "",
        f"| | {' | '.join(map(metric_heading, names))} |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {row} | {' | '.join(metric_value(m, metrics.get(m)) for m in names)} |"
            for row, metrics in results.items()
        ),
        "",
        f"Gates: {verdict.reason}.",
        "",
        *gate_table(verdict),
        "",
        stated.line("Baseline"),
        stated.line("Known weaknesses"),
        *_limitations(evaluation),
    ]


def _limitations(evaluation: Evaluation) -> Iterator[str]:
    unjudged = [part for part in evaluation.slices if not part.judged]
    if unjudged:
        rows = ", ".join(f"{part.column}={part.value} ({part.rows:,} rows)" for part in unjudged)
        yield f"- Measured: not judged, too few rows: {rows}"
    for feature, value in evaluation.unseen.items():
        if value:
            yield f"- Measured: {share(value)} of the rows have a `{feature}` not seen in training"


def _ethics(evaluation: Evaluation, stated: Statements) -> Lines:
    metric = leading(evaluation.metrics)
    columns: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        if part.judged and metric in part.metrics:
            columns.setdefault(part.column, []).append(part)
    spreads = []
    for column, parts in columns.items():
        low, *_, high = sorted(parts, key=lambda part: part.metrics[metric]) * (2 if len(parts) == 1 else 1)
        lowest, highest = (f"{metric_value(metric, part.metrics[metric])} ({part.value})" for part in (low, high))
        spreads.append(
            f"- Bias evaluation by {column}: {metric_name(metric)} from {lowest} to {highest} "
            f"over {len(parts)} judged slices"
        )
    return [
        *(spreads or ["- Bias evaluation: no slice was judged; list columns under validation.slices in usecase.yaml"]),
        "- Fairness testing: only the gates on slices above",
        stated.line("Protected groups"),
        stated.line("Privacy"),
    ]


def _maintenance(spec: UseCaseSpec, stated: Statements) -> Lines:
    policy = spec.retrain
    interval = f"{percent(policy.confidence)} interval of its gain in {metric_name(policy.metric)}"
    return [
        stated.line("Owner"),
        f"- Retraining: on the last {policy.window / timedelta(days=1):g} days; schedules say how often",
        f"- Replaced only by a challenger for which the lower end of the {interval} exceeds {number(policy.min_gain)}",
        stated.line("Feedback"),
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{feature}`" for feature in names) or "none"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts that training recorded, as lines: nested ones by dotted name, long lists by their length."""
    for key, value in facts.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, list) and len(value) > 6:
            yield path, f"{len(value):,} values"
        elif isinstance(value, list):
            yield path, ", ".join(map(str, value)) or "none"
        else:
            yield path, number(value) if isinstance(value, float) else str(value)

"""The model card: what a model is, what it was made of, how it was judged, and what nobody has said about it yet."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from loopline.components.contract import usecase as contract_usecase
from loopline.components.contract.evaluation import Evaluation, Footprint, Slice, Verdict, read
from loopline.components.contract.metrics import caption
from loopline.components.contract.model import Model
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.validation.gates import table as gate_table
from loopline.components.validation.metrics import leading
from loopline.components.validation.statements import FILE, Statements
from loopline.components.validation.wording import number, share, short, span

Lines = list[str]


def write_card(
    usecase: str,
    model_path: Path | str,
    evaluation_path: Path | str,
    footprint_path: Path | str,
    verdict_path: Path | str,
    card_path: Path | str,
) -> None:
    """Write the model card as Markdown, from what was measured and what the use case states in its card.md.

    Sections after Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Args:
        usecase: package of the use case.
        model_path: the packaged model; it is verified.
        evaluation_path: folder of its evaluation.
        footprint_path: its footprint.
        verdict_path: its verdict.
        card_path: the file to write.

    Raises:
        LooplineError: they are not all of one model, or card.md states an item that a card does not have.
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
        f"- Version: assigned by the registry; this card is about the model with digest `{model.digest}`",
        stated.line("License"),
        *(f"- {key}: {value}" for key, value in _flat(model.provenance)),
        *(f"- {caption(metric)}: {number(value)}" for metric, value in footprint.metrics.items()),
    ]


def _intended_use(spec: UseCaseSpec, stated: Statements) -> Lines:
    lead = f", asked {spec.entity.lead / timedelta(hours=1):g} h before its `{spec.entity.timestamp}`"
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
        f"- Numbers the model takes: {_listed(kinds['number'])}",
        f"- Categories the model takes: {_listed(kinds['category'])}",
        "- Preprocessing: inside the model's graph, which takes these inputs raw",
        "",
        "What training recorded:",
        "",
        *(f"- {key}: {value}" for key, value in _flat(model.facts)),
    ]


def _evaluation(evaluation: Evaluation, verdict: Verdict, stated: Statements, timezone: str) -> Lines:
    names = list(evaluation.metrics)
    results = {"all rows": evaluation.metrics, **{f"under {s.name}": s.metrics for s in evaluation.scenarios}}
    rows = f"{evaluation.labelled:,} labelled rows of {evaluation.rows:,}"
    return [
        f"{rows}, {span(evaluation.start, evaluation.end, timezone)}, examples `{short(evaluation.examples)}`.",
        "",
        f"| | {' | '.join(map(caption, names))} |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {row} | {' | '.join(number(metrics[m]) if m in metrics else '–' for m in names)} |"
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
        yield f"- Measured: too few rows to judge {rows}"
    for feature, value in evaluation.unseen.items():
        if value:
            yield f"- Measured: {share(value)} of the rows have a `{feature}` that training had not seen"


def _ethics(evaluation: Evaluation, stated: Statements) -> Lines:
    metric = leading(evaluation.metrics)
    columns: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        if part.judged and metric in part.metrics:
            columns.setdefault(part.column, []).append(part)
    spreads = []
    for column, parts in columns.items():
        low, *_, high = sorted(parts, key=lambda part: part.metrics[metric]) * (2 if len(parts) == 1 else 1)
        spreads.append(
            f"- Bias evaluation by {column}: {caption(metric)} from {number(low.metrics[metric])} ({low.value}) to "
            f"{number(high.metrics[metric])} ({high.value}) over {len(parts)} judged slices"
        )
    return [
        *(spreads or ["- Bias evaluation: no slice was judged; name columns under validation.slices in usecase.yaml"]),
        "- Fairness testing: the gates on slices above, no other",
        stated.line("Protected groups"),
        stated.line("Privacy"),
    ]


def _maintenance(spec: UseCaseSpec, stated: Statements) -> Lines:
    policy = spec.retrain
    interval = f"{policy.confidence:.0%} interval of its gain in {caption(policy.metric)}"
    return [
        stated.line("Owner"),
        f"- Retraining: learns from the last {policy.window / timedelta(days=1):g} days; how often is not stated here",
        f"- Replaced only if the lower end of a challenger's {interval} exceeds {number(policy.min_gain)}",
        stated.line("Feedback"),
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{feature}`" for feature in names) or "none"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts as lines, whatever training chose to record: nested ones by dotted name, long lists by their length."""
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

"""Reading a compiled pipeline: its steps by name, what each needs, and the condition it stands under."""

from collections.abc import Iterator
from typing import Any

from loopline.compiler import steps
from loopline.local.records import StepRecord

_CONDITION = "condition-"
_LOOP = "for-loop-"
# Conditions and loops are DAGs to KFP, but not part of a step's name here.
_BLOCKS = (_CONDITION, _LOOP)


def steps_of(ir: dict[str, Any]) -> list[StepRecord]:
    """The steps of a compiled pipeline in an order in which they can run, waiting."""
    found = list(_walk(ir, ir["root"]["dag"]["tasks"], prefix="", outer_needs={}))
    return _ordered([step for step, _ in found], {step.name: needs for step, needs in found})


def location_parameters(ir: dict[str, Any]) -> set[str]:
    """The pipeline's parameters that reach a step as a location, such as its model registry."""
    known = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    return set(_locations(ir, ir["root"]["dag"]["tasks"], {name: name for name in known}))


def _locations(ir: dict[str, Any], tasks: dict[str, Any], outer: dict[str, str]) -> Iterator[str]:
    """The pipeline's parameter behind each location in a DAG; ``outer`` gives it for each input of that DAG."""
    for spec in tasks.values():
        component = ir["components"][spec["componentRef"]["name"]]
        values = spec.get("inputs", {}).get("parameters", {})
        given = {name: outer.get(value.get("componentInputParameter", ""), "") for name, value in values.items()}
        if "dag" in component:
            yield from _locations(ir, component["dag"]["tasks"], given)
        else:
            executor = ir["deploymentSpec"]["executors"][component["executorLabel"]]
            locations = steps.facts(*steps.of_executor(executor)).locations
            yield from (given[name] for name in locations if given.get(name))


def _walk(
    ir: dict[str, Any], tasks: dict[str, Any], prefix: str, outer_needs: dict[str, list[str]]
) -> Iterator[tuple[StepRecord, list[str]]]:
    """Yield each step below a DAG with the names of the steps that it needs.

    ``outer_needs`` gives, for each input of this DAG, the steps that it comes from.
    """
    produced: dict[str, list[str]] = {}
    for task, spec in tasks.items():
        component = ir["components"][spec["componentRef"]["name"]]
        produced[task] = _producers(ir, prefix, task, spec, component)
    for task, spec in tasks.items():
        component = ir["components"][spec["componentRef"]["name"]]
        needs = {name: _sources(value, produced, outer_needs) for name, value in _inputs(spec)}
        ordered_after = [step for other in spec.get("dependentTasks", []) for step in produced.get(other, [])]
        if "dag" in component:
            inner = prefix if task.startswith(_BLOCKS) else f"{prefix}{task}/"
            for step, inner_needs in _walk(ir, component["dag"]["tasks"], inner, needs):
                if task.startswith(_LOOP):
                    step.item = _item(spec, component["dag"]["tasks"], step)
                yield step, [*inner_needs, *(ordered_after if task.startswith(_BLOCKS) else [])]
        else:
            step = _step(ir, prefix, task, spec, component)
            yield step, [*(name for names in needs.values() for name in names), *ordered_after]


def _producers(
    ir: dict[str, Any], prefix: str, task: str, spec: dict[str, Any], component: dict[str, Any]
) -> list[str]:
    """The steps that produce a task's outputs: itself, or those inside a nested DAG."""
    if "dag" not in component:
        return [_step_name(prefix, task, spec)]
    inner_prefix = prefix if task.startswith(_BLOCKS) else f"{prefix}{task}/"
    inner_tasks = component["dag"]["tasks"]
    selected = {
        selector["producerSubtask"]
        for output in component["dag"].get("outputs", {}).get("artifacts", {}).values()
        for selector in output["artifactSelectors"]
    } or set(inner_tasks)
    return [
        name
        for inner in sorted(selected)
        for name in _producers(
            ir, inner_prefix, inner, inner_tasks[inner], ir["components"][inner_tasks[inner]["componentRef"]["name"]]
        )
    ]


def _item(loop: dict[str, Any], tasks: dict[str, Any], step: StepRecord) -> str:
    """The parameter of a step in a loop that takes the loop's item; empty if none does."""
    item = loop["parameterIterator"]["itemInput"]
    for spec in tasks.values():
        if spec["componentRef"]["name"] == f"comp-{step.task}":
            for name, value in spec.get("inputs", {}).get("parameters", {}).items():
                if value.get("componentInputParameter") == item:
                    return str(name)
    return ""


def _inputs(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("artifacts", "parameters"):
        yield from spec.get("inputs", {}).get(kind, {}).items()


def _sources(value: dict[str, Any], produced: dict[str, list[str]], outer: dict[str, list[str]]) -> list[str]:
    made_by = value.get("taskOutputArtifact") or value.get("taskOutputParameter")
    if made_by:
        return produced[made_by["producerTask"]]
    return outer.get(value.get("componentInputArtifact") or value.get("componentInputParameter") or "", [])


def _step_name(prefix: str, task: str, spec: dict[str, Any]) -> str:
    return prefix + spec.get("taskInfo", {}).get("name", task)


def _step(ir: dict[str, Any], prefix: str, task: str, spec: dict[str, Any], component: dict[str, Any]) -> StepRecord:
    stage, function = steps.of_executor(ir["deploymentSpec"]["executors"][component["executorLabel"]])
    return StepRecord(
        name=_step_name(prefix, task, spec),
        task=spec["componentRef"]["name"].removeprefix("comp-"),
        stage=stage,
        component=function,
    )


def _ordered(found: list[StepRecord], needs: dict[str, list[str]]) -> list[StepRecord]:
    done: list[StepRecord] = []
    left = list(found)
    while left:
        names = {step.name for step in done}
        ready = next((step for step in left if set(needs[step.name]) <= names), left[0])
        ready.needs = list(dict.fromkeys(needs[ready.name]))
        done.append(ready)
        left.remove(ready)
    return done

"""The progress of a run on a KFP server, by step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

SUCCEEDED = "SUCCEEDED"
ENDED = frozenset({SUCCEEDED, "FAILED", "CANCELED", "SKIPPED"})
# KFP lists more Argo nodes than steps: the root, the driver of a step, and the pod that runs it.
_ROOT, _DRIVER, _POD = "root", "-driver", "executor"


@dataclass(frozen=True)
class StepProgress:
    """One step of a run.

    Attributes:
        name: its path in the DAG, for example ``training-examples/ingest``.
        state: of KFP, such as RUNNING.
        seconds: how long it took; None while it runs.
        reason: why it failed. ``pod``: its pod, which has its log.
    """

    name: str
    state: str
    seconds: float | None = None
    reason: str = ""
    pod: str = ""


def steps_of(run: "V2beta1Run") -> list[StepProgress]:
    """The steps of a run that have started, in the order in which they did."""
    details = list((run.run_details.task_details if run.run_details else None) or [])
    by_id = {detail.task_id: detail for detail in details}
    parent = _parents(details)
    steps = []
    for detail in sorted(details, key=lambda d: str(d.start_time or d.create_time or "")):
        if _is_step(detail.display_name or ""):
            nodes = [detail, *_below(detail.task_id, by_id, parent)]
            if any(_is_step(d.display_name or "") for d in nodes[1:]):
                continue  # a nested pipeline, whose steps are listed
            steps.append(
                StepProgress(
                    name=_path(detail.task_id, by_id, parent),
                    state=detail.state or "PENDING",
                    seconds=_seconds(detail),
                    reason=next((d.error.message for d in reversed(nodes) if d.error and d.error.message), ""),
                    pod=next((pod for d in reversed(nodes) if (pod := _pod(d))), ""),
                )
            )
    return steps


def failure(run: "V2beta1Run") -> str:
    """Why a run failed, in one sentence: the first failed step, its reason, and how to read its log."""
    for step in steps_of(run):
        if step.state == "FAILED":
            log = f"; its log: kubectl logs {step.pod} -c main" if step.pod else ""
            return f"step {step.name} failed: {step.reason or 'no reason was given'}{log}"
    message = run.error.message if run.error and run.error.message else ""
    return message or f"it ended {str(run.state).lower()} and no step says why"


def _is_step(name: str) -> bool:
    return bool(name) and name != _ROOT and not name.endswith(_DRIVER) and not name.startswith(_POD)


def _parents(details: list["V2beta1PipelineTaskDetail"]) -> dict[str, str]:
    found = {child.task_id: d.task_id for d in details for child in d.child_tasks or [] if child.task_id}
    return {**found, **{d.task_id: d.parent_task_id for d in details if d.parent_task_id}}


def _below(
    task: str, by_id: Mapping[str, "V2beta1PipelineTaskDetail"], parent: Mapping[str, str]
) -> Iterator["V2beta1PipelineTaskDetail"]:
    for child, above in parent.items():
        if above == task and child in by_id:
            yield by_id[child]
            yield from _below(child, by_id, parent)


def _path(task: str, by_id: Mapping[str, "V2beta1PipelineTaskDetail"], parent: Mapping[str, str]) -> str:
    names: list[str] = []
    while task in by_id:
        name = by_id[task].display_name or ""
        if _is_step(name) and not name.startswith("condition-"):
            names.insert(0, name)
        task = parent.get(task, "")
    return "/".join(names)


def _pod(detail: "V2beta1PipelineTaskDetail") -> str:
    children = [child.pod_name for child in detail.child_tasks or [] if child.pod_name]
    return str(detail.pod_name or (children[-1] if children else ""))


def _seconds(detail: "V2beta1PipelineTaskDetail") -> float | None:
    begun, ended = detail.start_time or detail.create_time, detail.end_time
    if not begun or not ended or ended < begun:
        return None
    return float((ended - begun).total_seconds())

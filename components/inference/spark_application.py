"""The SparkApplication of one batch prediction: its name, its manifest, and what its status says.

Its nodes (image, cores, memory, number, deadline) come from the SparkApplication ``loopline-batch`` of manifests/batch,
which is suspended for good: the step creates a copy of it. A change of hardware is a change of that one object in Git.
"""

import copy
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from loopline.components.contract.duration import parse_duration
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.io import digest

TEMPLATE = "loopline-batch"
# Annotation of the template: how long a job may take, counted from its creation.
DEADLINE = "loopline.dev/deadline"
ARGUMENTS = ("usecase", "model", "version", "examples", "quarantine", "output")
COMPLETED = "COMPLETED"
FAILED = "FAILED"  # the operator has given up; after SUBMISSION_FAILED it tries again


def name_of(usecase: str, identity: list[Any]) -> str:
    """A name that is the same for the same prediction, short enough for what the operator appends to name pods."""
    label = re.sub(r"[^a-z0-9]+", "-", load(usecase).spec.name.lower()).strip("-")[:20].strip("-")
    revision = os.environ.get("LOOPLINE_REVISION", "")
    return f"batch-{label}-{digest.of_value([*identity, revision]).removeprefix(digest.PREFIX)[:12]}"


def manifest(template: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The SparkApplication to create: the template with a name and arguments, not suspended."""
    spec = copy.deepcopy(template["spec"])
    spec["suspend"] = False
    spec["arguments"] = [text for argument in ARGUMENTS for text in (f"--{argument}", values[argument])]
    labels = template["metadata"].get("labels", {})
    return {
        "apiVersion": template["apiVersion"],
        "kind": "SparkApplication",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def deadline_of(template: Mapping[str, Any]) -> timedelta:
    """How long a job may take.

    Raises:
        LooplineError: the annotation is missing, or is no duration.
    """
    text = template["metadata"].get("annotations", {}).get(DEADLINE, "")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise LooplineError(
            f"SparkApplication {TEMPLATE} has {DEADLINE} '{text}'; annotate it with a duration, for example 5h"
        ) from error


def state_of(application: Mapping[str, Any]) -> tuple[str, str]:
    """The state that the operator reports, and its error message on one line; empty before it has seen the object."""
    state = application.get("status", {}).get("applicationState", {})
    return state.get("state", ""), " ".join(state.get("errorMessage", "").split())


def failure_uri(output: str) -> str:
    """Where a job that writes to ``output`` leaves the message of its error."""
    return f"{output}.failure"

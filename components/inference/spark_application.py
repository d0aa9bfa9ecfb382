"""The SparkApplication of one batch prediction: its name, its manifest, and what its status says.

Its nodes (image, cores, memory, number, deadline) come from the SparkApplication ``loopline-batch`` of manifests/batch,
which is suspended for good: the step creates a copy of it. A change of hardware is a change of that one object in Git.
"""

import copy
import os
from collections.abc import Mapping
from typing import Any

from loopline.components.contract.cluster_job import job_name
from loopline.components.contract.usecase import load
from loopline.components.io import digest

TEMPLATE = "loopline-batch"
ARGUMENTS = ("usecase", "model", "version", "examples", "quarantine", "output")
COMPLETED = "COMPLETED"
FAILED = "FAILED"  # the operator has given up; after SUBMISSION_FAILED it tries again


def name_of(usecase: str, identity: list[Any]) -> str:
    """A name that is the same for the same prediction."""
    revision = os.environ.get("LOOPLINE_REVISION", "")
    return job_name("batch", load(usecase).spec.name, digest.of_value([*identity, revision]))


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


def state_of(application: Mapping[str, Any]) -> tuple[str, str]:
    """The state that the operator reports, and its error message on one line; empty before it has seen the object."""
    state = application.get("status", {}).get("applicationState", {})
    return state.get("state", ""), " ".join(state.get("errorMessage", "").split())


def failure_uri(output: str) -> str:
    """Where a job that writes to ``output`` leaves the message of its error."""
    return f"{output}.failure"

"""A batch prediction as a SparkApplication of the Spark operator: started or found again, awaited, and brought here.

What its nodes are (image, cores, memory, how many, how long they may take) is said by the SparkApplication
``loopline-batch`` of manifests/batch, which is suspended for ever: the step runs a copy of it. So a change of hardware
is a change of one object in Git.
"""

import copy
import os
import re
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from loopline.components.contract import dataset
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.duration import parse_duration
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.inference.artifact import Artifact
from loopline.components.inference.kubernetes_api import spark_applications
from loopline.components.io import digest, storage
from loopline.components.io.kubernetes_api import CustomObjects, UnreachableError

TEMPLATE = "loopline-batch"
# Of the template: how long a job may take from its creation on.
DEADLINE = "loopline.dev/deadline"
ARGUMENTS = ("usecase", "model", "version", "examples", "quarantine", "output")
POLL_SECONDS = 5.0
GONE_SECONDS = 60.0
FAILED = "FAILED"  # the operator has given up; SUBMISSION_FAILED it tries again


def predict_on_spark(
    usecase: str,
    version: str,
    model: Artifact,
    examples: Artifact,
    quarantine: Artifact,
    predictions_path: Path | str,
    poll_seconds: float = POLL_SECONDS,
) -> Dataset:
    """Predict on Spark and bring the predictions here.

    The name of the application follows from what is predicted, so a step that is tried again finds the one that it has
    started, or its result.

    Args:
        usecase: package of the use case.
        version: version of the model in the registry.
        model: the packaged model.
        examples: the examples of the window.
        quarantine: what data validation quarantined.
        predictions_path: the folder to make.
        poll_seconds: time between two looks.

    Raises:
        LooplineError: the inputs are not in an object store, there is no Spark operator or template, or the job fails
            or takes too long.
    """
    inputs = {"model": model, "examples": examples, "quarantine": quarantine}
    bucket = _bucket(inputs)
    digests = [Model.open(model.path).digest, *(Dataset.open(given.path).digest for given in (examples, quarantine))]
    applications = spark_applications()
    template = applications.find(TEMPLATE)
    if template is None:
        raise LooplineError(
            f"there is no SparkApplication {TEMPLATE} in namespace {applications.access.namespace}; "
            "apply an overlay of kustomize/, or use engine local"
        )
    name = _name(usecase, [usecase, version, *digests, template["spec"]])
    output = f"s3://{bucket}/spark/{name}"
    values = {"usecase": usecase, "version": version, "output": output, **{n: a.uri for n, a in inputs.items()}}
    deadline = deadline_of(template)
    _start(applications, template, name, values, poll_seconds)
    _await(applications, name, output, deadline, poll_seconds)
    with tempfile.TemporaryDirectory(dir=Path(predictions_path).parent) as folder:
        fetched = storage.fetch(output, Path(folder), manifest=dataset.MANIFEST)
        storage.put(fetched, predictions_path)
    return Dataset.open(predictions_path)


def failure_of(output: str) -> str:
    """Where the job leaves why it failed."""
    return f"{output}.failure"


def application(template: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
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
        LooplineError: the template does not say so, or not in a way that can be read.
    """
    text = template["metadata"].get("annotations", {}).get(DEADLINE, "")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise LooplineError(
            f"SparkApplication {TEMPLATE} has {DEADLINE} '{text}'; annotate it with a length of time, for example 5h"
        ) from error


def _start(
    applications: CustomObjects, template: Mapping[str, Any], name: str, values: Mapping[str, str], poll: float
) -> None:
    """Create the application, unless it runs or has left its result."""
    found = applications.find(name)
    if found is not None:
        state, _ = _state(found)
        done = state == "COMPLETED" and dataset.MANIFEST in storage.names(values["output"])
        if done or state not in {"COMPLETED", FAILED}:
            return
        applications.delete(name)
        _await_gone(applications, name, poll)
    storage.remove(failure_of(values["output"]))
    applications.create(application(template, name, values))


def _await_gone(applications: CustomObjects, name: str, poll: float) -> None:
    until = time.monotonic() + GONE_SECONDS
    while applications.find(name) is not None:
        if time.monotonic() > until:
            raise LooplineError(
                f"SparkApplication {name} of an earlier attempt is being deleted but does not go; see what holds it"
            )
        time.sleep(poll)


def _await(applications: CustomObjects, name: str, output: str, deadline: timedelta, poll_seconds: float) -> None:
    """Return when the application has completed.

    Raises:
        LooplineError: it fails, is deleted, or takes longer than it may.
    """
    until = time.monotonic() + deadline.total_seconds()
    words = ""
    while time.monotonic() < until:
        try:
            found = applications.find(name)
        except UnreachableError as error:
            found, words = {"status": {}}, str(error)  # it may be back at the next look
        if found is None:
            raise LooplineError(f"SparkApplication {name} was deleted while it ran; run again")
        state, message = _state(found)
        if state == "COMPLETED":
            return
        if state == FAILED:
            raise LooplineError(f"SparkApplication {name} failed: {_failure(output) or message or 'it gave no reason'}")
        words = state or words
        time.sleep(poll_seconds)
    applications.delete(name)
    raise LooplineError(
        f"SparkApplication {name} was not done after {deadline} ({words or 'the operator has not taken it up'}) and "
        f"was deleted; give it more nodes, or change {DEADLINE} of SparkApplication {TEMPLATE}"
    )


def _state(found: Mapping[str, Any]) -> tuple[str, str]:
    state = found.get("status", {}).get("applicationState", {})
    return state.get("state", ""), " ".join(state.get("errorMessage", "").split())


def _failure(output: str) -> str:
    """The sentence that the job has left; nothing if it could not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return storage.fetch(failure_of(output), Path(folder)).read_text(encoding="utf-8")
        except LooplineError:
            return ""


def _bucket(inputs: Mapping[str, Artifact]) -> str:
    for name, given in inputs.items():
        if not given.uri.startswith("s3://"):
            raise LooplineError(
                f"engine spark needs artifacts that all its nodes can read, and the {name} is at {given.uri}: let KFP "
                "keep artifacts under s3://, or use engine local"
            )
    bucket = os.environ.get("LOOPLINE_BUCKET", "")
    if not bucket:
        raise LooplineError("LOOPLINE_BUCKET is not set: the ConfigMap loopline-object-store names the bucket")
    return bucket


def _name(usecase: str, identity: list[Any]) -> str:
    """A name that is the same for the same prediction; it leaves room for what is appended to name pods."""
    label = re.sub(r"[^a-z0-9]+", "-", load(usecase).spec.name.lower()).strip("-")[:20].strip("-")
    revision = os.environ.get("LOOPLINE_REVISION", "")
    return f"batch-{label}-{digest.of_value([*identity, revision]).removeprefix(digest.PREFIX)[:12]}"

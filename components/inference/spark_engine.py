"""Batch prediction on Spark: create a SparkApplication or find it again, wait for it, and fetch its predictions."""

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from loopline.components.contract import dataset
from loopline.components.contract.cluster_job import DEADLINE, deadline_of
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError
from loopline.components.inference import kubernetes_api, spark_application
from loopline.components.inference.artifact import Artifact
from loopline.components.inference.kubernetes_api import SPARK_APPLICATIONS
from loopline.components.inference.spark_application import COMPLETED, FAILED, TEMPLATE
from loopline.components.io import storage
from loopline.components.io.kubernetes_api import KubernetesApi
from loopline.components.io.kubernetes_errors import ConflictError, UnreachableError

POLL_SECONDS = 5.0
DELETION_SECONDS = 60.0


def predict_on_spark(
    usecase: str,
    version: str,
    model: Artifact,
    examples: Artifact,
    quarantine: Artifact,
    predictions_path: Path | str,
    poll_seconds: float = POLL_SECONDS,
) -> Dataset:
    """Predict on Spark and fetch the predictions.

    The name of the application follows from what is predicted, so a step that is retried finds the application that it
    has created, or its result.

    Args:
        usecase: package of the use case.
        version: version of the model in the registry.
        model: the packaged model.
        examples: the examples of the window.
        quarantine: what data validation quarantined.
        predictions_path: the folder to make.
        poll_seconds: seconds between two requests for the state of the application.

    Raises:
        LooplineError: the inputs are not in an object store, there is no Spark operator or template, or the job fails
            or takes too long.
    """
    inputs = {"model": model, "examples": examples, "quarantine": quarantine}
    bucket = _bucket(inputs)
    digests = [Model.open(model.path).digest, *(Dataset.open(given.path).digest for given in (examples, quarantine))]
    api = kubernetes_api.connect()
    template = api.get(SPARK_APPLICATIONS, TEMPLATE)
    if template is None:
        raise LooplineError(
            f"there is no SparkApplication {TEMPLATE} in namespace {api.namespace}; "
            "apply an overlay of kustomize/, or use engine local"
        )
    name = spark_application.name_of(usecase, [usecase, version, *digests, template["spec"]])
    output = f"s3://{bucket}/spark/{name}"
    values = {"usecase": usecase, "version": version, "output": output, **{n: a.uri for n, a in inputs.items()}}
    deadline = deadline_of(template)
    _create(api, template, name, values, poll_seconds)
    _wait(api, name, output, deadline, poll_seconds)
    with tempfile.TemporaryDirectory(dir=Path(predictions_path).parent) as folder:
        fetched = storage.fetch(output, Path(folder), manifest=dataset.MANIFEST)
        storage.put(fetched, predictions_path)
    return Dataset.open(predictions_path)


def _create(
    api: KubernetesApi, template: Mapping[str, Any], name: str, values: Mapping[str, str], poll_seconds: float
) -> None:
    """Create the application, unless it runs or has left its result."""
    found = api.get(SPARK_APPLICATIONS, name)
    if found is not None:
        state, _ = spark_application.state_of(found)
        done = state == COMPLETED and dataset.MANIFEST in storage.names(values["output"])
        if done or state not in {COMPLETED, FAILED}:
            return
        api.delete(SPARK_APPLICATIONS, name)
        _wait_for_deletion(api, name, poll_seconds)
    storage.remove(spark_application.failure_uri(values["output"]))
    with contextlib.suppress(ConflictError):  # another attempt at this step has just created it
        api.create(SPARK_APPLICATIONS, spark_application.manifest(template, name, values))


def _wait_for_deletion(api: KubernetesApi, name: str, poll_seconds: float) -> None:
    until = time.monotonic() + DELETION_SECONDS
    while api.get(SPARK_APPLICATIONS, name) is not None:
        if time.monotonic() > until:
            raise LooplineError(
                f"SparkApplication {name} of an earlier attempt is being deleted but stays; look at its finalizers"
            )
        time.sleep(poll_seconds)


def _wait(api: KubernetesApi, name: str, output: str, deadline: timedelta, poll_seconds: float) -> None:
    """Return when the application has completed.

    Raises:
        LooplineError: it fails, is deleted, or exceeds its deadline.
    """
    until = time.monotonic() + deadline.total_seconds()
    last_seen = ""
    while time.monotonic() < until:
        try:
            found = api.get(SPARK_APPLICATIONS, name)
        except UnreachableError as error:
            found, last_seen = {"status": {}}, str(error)  # ask again until the deadline
        if found is None:
            raise LooplineError(f"SparkApplication {name} was deleted while it ran; run again")
        state, message = spark_application.state_of(found)
        if state == COMPLETED:
            return
        if state == FAILED:
            reason = _failure(output) or message or "it gave no reason"
            raise LooplineError(f"SparkApplication {name} failed: {reason}")
        last_seen = state or last_seen
        time.sleep(poll_seconds)
    api.delete(SPARK_APPLICATIONS, name)
    raise LooplineError(
        f"SparkApplication {name} was not done after {deadline} ({last_seen or 'the operator has not submitted it'}) "
        f"and was deleted; give it more nodes, or change {DEADLINE} of SparkApplication {TEMPLATE}"
    )


def _failure(output: str) -> str:
    """The message that the job has left; empty if it could not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return storage.fetch(spark_application.failure_uri(output), Path(folder)).read_text(encoding="utf-8")
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

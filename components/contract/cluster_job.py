"""What a TrainJob and a SparkApplication of ours have in common: how they are named, and who limits their duration."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from loopline.components.contract.duration import parse_duration
from loopline.components.errors import LooplineError
from loopline.components.io import digest

# Annotation of the object that a job is created from: how long it may take from its creation, in a queue included.
DEADLINE = "loopline.dev/deadline"


def job_name(prefix: str, usecase: str, identity: str) -> str:
    """A name that follows from what a job computes, so that a step that is retried finds the job that it created.

    It leaves room for what operators append to name pods, whose names have at most 63 characters.

    Args:
        prefix: what the job does.
        usecase: name of the use case.
        identity: digest of everything that the result depends on.
    """
    label = re.sub(r"[^a-z0-9]+", "-", usecase.lower()).strip("-")[:20].strip("-")
    return f"{prefix}-{label}-{identity.removeprefix(digest.PREFIX)[:12]}"


def deadline_of(template: Mapping[str, Any]) -> timedelta:
    """How long a job may take that is created from a Kubernetes object.

    Raises:
        LooplineError: the annotation is missing, or is not a duration.
    """
    text = template["metadata"].get("annotations", {}).get(DEADLINE, "")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise LooplineError(
            f"{template['kind']} {template['metadata']['name']} has {DEADLINE} '{text}'; "
            "annotate it with a duration, for example 5h"
        ) from error

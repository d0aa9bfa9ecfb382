"""Names of the Kubernetes objects of a use case, and how long they may be."""

import re

from loopline.compiler import pipeline_ir
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError

LONGEST = 63  # of a label's value, which these names become
LONGEST_SCHEDULE = 52  # Argo appends eleven characters for each workflow
VERSION_SUFFIX = len("-0123456789ab") + len("-01234567")  # digest of the content, and of an overlay's images


def usecase_name(case: UseCase) -> str:
    """The name of a use case as Kubernetes takes it: with dashes.

    Raises:
        LooplineError: it cannot be one.
    """
    name = case.spec.name.replace("_", "-")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise LooplineError(f"{case.spec.name} cannot name objects in Kubernetes; rename it in {_file(case)}")
    return name


def pipeline_name(case: UseCase, pipeline: str) -> str:
    """The name of a use case's Pipeline object, for example ``flights-training``.

    Args:
        case: the use case.
        pipeline: with dashes or underscores.

    Raises:
        LooplineError: there is no such pipeline, or the name would be too long.
    """
    name = f"{usecase_name(case)}-{pipeline_ir.known_pipeline(pipeline).replace('_', '-')}"
    _expect_short(case, "pipeline version", name, len(name) + VERSION_SUFFIX, "Kubernetes", LONGEST)
    return name


def schedule_name(case: UseCase, pipeline: str) -> str:
    """The name of the CronWorkflow that runs a pipeline of a use case.

    Raises:
        LooplineError: there is no such pipeline, or the name would be too long.
    """
    name = f"{usecase_name(case)}-{pipeline_ir.known_pipeline(pipeline).replace('_', '-')}"
    _expect_short(case, "schedule", name, len(name), "Argo", LONGEST_SCHEDULE)
    return name


def policy_name(case: UseCase) -> str:
    """The name of the ConfigMap with an environment's release policy and gates."""
    return f"{usecase_name(case)}-policy"


def _expect_short(case: UseCase, what: str, name: str, length: int, whose: str, longest: int) -> None:
    if length > longest:
        raise LooplineError(
            f"the {what} {name} would have {length} characters and {whose} takes {longest}; "
            f"give {_file(case)} a shorter name"
        )


def _file(case: UseCase) -> str:
    return str(case.folder / "usecase.yaml")

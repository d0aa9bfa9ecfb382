"""The registered versions of a model; all that is known about one is in its MLflow tags."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from loopline.components.contract.evaluation import Evaluation, Metrics
from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError
from loopline.components.registry import aliases
from loopline.components.registry.client import moment, search_versions

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DIGEST = "digest"
TASK = "task"
# Keys of a model's facts and provenance that are copied to its version.
LINEAGE = ("examples", "feature_views", "window", "code", "tracking_run")
# Prefix of one tag per month it was evaluated on: {"examples": digest, "metrics": {name: value}}.
EVALUATION = "evaluation."


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        version: its number; the first is 1.
        aliases: those that point to it, sorted.
        digest: content digest of the model artifact.
        created: when it was registered, UTC.
        metrics: by month ``YYYY-MM`` of the rows that it was evaluated on.
        lineage: data digest, feature view versions, window, code revision and run, as far as the model knows them.
        run: the MLflow run whose artifacts are its files.
    """

    version: int
    aliases: tuple[str, ...]
    digest: str
    task: str
    created: datetime
    metrics: Mapping[str, Metrics]
    lineage: Mapping[str, str]
    run: str


def tags_of(model: Model, evaluation: Evaluation) -> dict[str, str]:
    """All tags that a version of this model is created with."""
    known = {**model.facts, **model.provenance}
    lineage = {name: _as_text(known[name]) for name in LINEAGE if known.get(name)}
    return {DIGEST: model.digest, TASK: evaluation.task, **lineage, **evaluation_tags(evaluation)}


def evaluation_tags(evaluation: Evaluation) -> dict[str, str]:
    """One tag per month of an evaluation."""
    return {
        f"{EVALUATION}{month}": _as_text({"examples": evaluation.examples, "metrics": metrics})
        for month, metrics in evaluation.months.items()
    }


def read_all(client: "MlflowClient", name: str) -> list[Version]:
    """The versions of a model, oldest first; empty if there is no such model.

    If a killed process left a second version of the same bytes, only the first counts.
    """
    version_of = aliases.read(client, name)
    found: dict[str, Version] = {}
    for entity in search_versions(client, name):
        if DIGEST in entity.tags:
            version = _from_entity(entity, version_of)
            found.setdefault(version.digest, version)
    return list(found.values())


def with_digest(client: "MlflowClient", name: str, digest: str) -> Version | None:
    """The version of these bytes, if it is registered."""
    return next((version for version in read_all(client, name) if version.digest == digest), None)


def find(client: "MlflowClient", name: str, reference: str) -> Version:
    """The version with a number or an alias.

    Raises:
        LooplineError: there is none; the message lists what there is.
    """
    versions = read_all(client, name)
    for version in versions:
        if reference == str(version.version) or reference in version.aliases:
            return version
    if not versions:
        raise LooplineError(f"no version of {name} is registered yet; run its training pipeline first")
    listed = ", ".join(
        f"{version.version} ({', '.join(version.aliases)})" if version.aliases else str(version.version)
        for version in versions
    )
    raise LooplineError(f"{name} has no version or alias '{reference}'; it has {listed}")


def _from_entity(entity: Any, version_of: Mapping[str, int]) -> Version:
    number, tags = int(entity.version), entity.tags
    return Version(
        version=number,
        aliases=tuple(sorted(alias for alias, version in version_of.items() if version == number)),
        digest=tags[DIGEST],
        task=tags.get(TASK, ""),
        created=moment(entity.creation_timestamp),
        metrics={
            tag.removeprefix(EVALUATION): json.loads(tags[tag])["metrics"]
            for tag in sorted(tags)
            if tag.startswith(EVALUATION)
        },
        lineage={name: tags[name] for name in LINEAGE if name in tags},
        run=entity.run_id,
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)

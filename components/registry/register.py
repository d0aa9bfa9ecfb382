"""Registers a packaged model: once per content, completely or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.components.contract.evaluation import Evaluation, read
from loopline.components.contract.model import Model
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.registry import aliases, files, versions
from loopline.components.registry.aliases import REGISTERED_AS
from loopline.components.registry.client import EXISTS, opened, put, tolerating

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def register(usecase: str, registry: str, alias: str, model_path: Path | str, evaluation_path: Path | str) -> int:
    """Register a model, or find it registered already, and point an alias to it.

    The version is created last and with all its tags, so a registration that is killed leaves none. Registering the
    same bytes again gives the same version, and adds the months of the evaluation to it.

    Args:
        usecase: package of the use case; its name is the name of the model.
        registry: MLflow tracking URI.
        alias: ``candidate`` or ``challenger``.
        model_path: the packaged model.
        evaluation_path: an evaluation of exactly that model.

    Returns:
        the number of the version.

    Raises:
        LooplineError: another alias, a model of another use case, an evaluation of another model, or a registry that
            cannot be written.
        CorruptArtifactError: the model's bytes are not those that were packaged.
    """
    name = load(usecase).spec.name
    if alias not in REGISTERED_AS:
        raise LooplineError(f"a model is registered as {' or '.join(REGISTERED_AS)}, not as '{alias}'")
    model = Model.open(model_path)
    if model.name != name:
        raise LooplineError(f"{model_path} is a model of {model.name} and cannot be registered as {name}")
    evaluation = read(Evaluation, evaluation_path)
    if evaluation.model != model.digest:
        raise LooplineError(
            f"the evaluation {evaluation_path} is of another model than {model_path}; "
            "evaluate this model, then register it"
        )
    with opened(registry, create=True) as client:
        aliases.reconcile(client, name)
        version = versions.with_digest(client, name, model.digest)
        if version is None:
            version = _add(client, registry, model, evaluation)
        else:
            _set_tags(client, name, version, versions.evaluation_tags(evaluation))
        if alias not in version.aliases:
            put(client.set_registered_model_alias, name, alias, str(version.version))
    return version.version


def _add(client: "MlflowClient", registry: str, model: Model, evaluation: Evaluation) -> versions.Version:
    with tolerating(EXISTS):
        client.create_registered_model(model.name)
    run, uri = files.store(client, registry, model.name, model)
    added = client.create_model_version(
        model.name, uri, run, tags=versions.tags_of(model, evaluation), await_creation_for=None
    )
    version = versions.with_digest(client, model.name, model.digest)
    if version is None:
        raise LooplineError(
            f"version {added.version} of {model.name} was deleted while it was registered; run it again"
        )
    if version.version != int(added.version):  # another process registered the same bytes first
        client.delete_model_version(model.name, added.version)
        client.delete_run(run)
    return version


def _set_tags(client: "MlflowClient", name: str, version: versions.Version, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        put(client.set_model_version_tag, name, str(version.version), key, value)

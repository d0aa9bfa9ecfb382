"""The cache key of a step: everything that its result depends on, in parts, so that a miss can be explained."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loopline import project
from loopline.compiler import steps
from loopline.components.contract.usecase import UseCase
from loopline.components.io import digest
from loopline.images import code
from loopline.local.locations import location_identity
from loopline.local.records import KeyParts


class KeyMaker:
    """Makes the key parts of the steps of one run.

    Code, lock and source are read once; a run does not notice edits that are made while it goes on.

    Args:
        usecase: whose steps they are.
        environments: digest of what runs the steps of a stage; empty for processes of this machine. A container has
            another operating system and another build of Python, so a result from outside does not stand for it.
    """

    def __init__(self, usecase: UseCase, environments: Mapping[str, str] | None = None) -> None:
        self._usecase = usecase
        self._environments = environments or {}
        self._lock = project.lock_digest()
        folder = usecase.package.replace(".", "/")
        self._usecase_code = {f"{folder}/{name}": value for name, value in digest.of_files(usecase.folder).items()}
        self._stages: dict[str, dict[str, str]] = {}
        self._source: str | None = None

    def parts(self, stage: str, component: str, command: list[str], arguments: Mapping[str, Any]) -> KeyParts | None:
        """The parts for one step, or None if its result cannot be reused.

        Args:
            stage: whose code it runs.
            component: its function in the stage's component.py.
            command: the frozen command, body and all, without placeholders filled in.
            arguments: parameter values and input artifacts (KFP objects) by name.
        """
        facts = steps.facts(stage, component)
        if not facts.cacheable:
            return None
        parameters = {name: value for name, value in arguments.items() if not _is_artifact(value)}
        inputs = {name: _content(value) for name, value in arguments.items() if _is_artifact(value)}
        source = ""
        if facts.reads_source:
            fingerprint = self._fingerprint()
            if fingerprint is None:
                return None
            source = fingerprint
        if stage not in self._stages:
            self._stages[stage] = code.stage_code(stage)
        return KeyParts(
            code={**self._stages[stage], **self._usecase_code},
            lock=self._lock,
            interface=digest.of_value(command),
            parameters=parameters,
            inputs=inputs,
            locations=_identities({name: parameters[name] for name in facts.locations if name in parameters}),
            source=source,
            environment=self._environments.get(stage, ""),
        )

    @staticmethod
    def why_not_cacheable(stage: str, component: str) -> str:
        """Why the result of a step without parts cannot be reused."""
        facts = steps.facts(stage, component)
        if facts.effects == "outside":
            return "it changes something outside its outputs, so it runs each time"
        if facts.always_runs:
            return "its answer depends on how things stand at the moment, so it runs each time"
        return "source.py has no fingerprint(), so its data may have changed"

    def _fingerprint(self) -> str | None:
        if self._source is None:
            self._source = self._usecase.source_fingerprint()
        return self._source


def locations_now(parts: KeyParts) -> dict[str, str]:
    """The identity that each location of a step has by now."""
    return _identities({name: parts.parameters[name] for name in parts.locations})


def _identities(locations: Mapping[str, Any]) -> dict[str, str]:
    return {name: identity for name, value in locations.items() if (identity := location_identity(str(value)))}


def differences(old: KeyParts, new: KeyParts) -> Iterator[str]:
    """The differences between the keys of two executions of a step, as sentences."""
    for name, before, after in _changed(old.parameters, new.parameters):
        yield f"parameter {name}: {before!r} became {after!r}"
    for name, _, _ in _changed(old.inputs, new.inputs):
        yield f"input {name} has other content"
    for name, before, after in _changed(old.code, new.code):
        yield f"code: {name} was {'added' if before is None else 'removed' if after is None else 'changed'}"
    for name, _, _ in _changed(old.locations, new.locations):
        yield f"{name}: another location, or recreated or changed since"
    if old.source != new.source:
        yield "the data behind source.py changed"
    if old.lock != new.lock:
        yield "lock: constraints.txt changed"
    if old.interface != new.interface:
        yield "the step's KFP interface changed"
    if old.environment != new.environment:
        yield (
            "it last ran in a container"
            if not new.environment
            else (
                "what its image has below the code changed" if old.environment else "it last ran outside of a container"
            )
        )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _is_artifact(value: Any) -> bool:
    """Whether a value is an artifact, or the artifacts of a loop."""
    if isinstance(value, list):
        return bool(value) and all(_is_artifact(one) for one in value)
    return hasattr(value, "uri") and hasattr(value, "metadata")


def _content(artifact: Any) -> str:
    """The digest in an artifact's metadata, which covers its content only; else that of its bytes."""
    if isinstance(artifact, list):
        return digest.of_value([_content(one) for one in artifact])
    return str(artifact.metadata.get("digest") or digest.of_tree(Path(artifact.path)))

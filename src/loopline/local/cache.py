"""The cache of finished steps: keyed by content, verified on every hit, and able to explain each miss.

kfp.local's own cache keys an artifact by its path and trusts what it finds there. This one overrides how keys are made
and entries are read and written; kfp still decides when to call it.
"""

import json
from pathlib import Path
from typing import Any

from kfp.dsl import executor
from kfp.local.cache import LocalCache

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest
from loopline.local.key import KeyMaker, differences, locations_now
from loopline.local.recorder import Recorder
from loopline.local.records import KeyParts, Output, StepRecord, to_json


class ContentCache(LocalCache):  # type: ignore[misc] # kfp is untyped
    """A LocalCache whose key is made of content and whose hits are verified.

    Args:
        cache_root: folder of the entries, one JSON file by key.
        keys: makes the key parts.
        recorder: takes keys, hits, misses and outputs.
        reuse: whether to read from the cache; outputs are written to it in any case.
    """

    def __init__(self, cache_root: str, keys: KeyMaker, recorder: Recorder, *, reuse: bool) -> None:
        super().__init__(cache_root)
        self._keys = keys
        self._reuse = reuse
        self._recorder = recorder

    def compute_key(
        self,
        component_name: str,
        image: str,  # noqa: ARG002 - its tag repeats the code digest
        full_command: list[str],
        arguments: dict[str, Any],
        env_vars: dict[str, str] | None = None,
        custom_cache_key: str | None = None,
    ) -> str:
        """The key of a step that is about to run; also recorded."""
        step = self._recorder.reached(component_name, arguments)
        interface = [*full_command, str(env_vars or {}), custom_cache_key or ""]
        parts = self._keys.parts(step.stage, step.component, interface, arguments)
        step.parts = parts
        step.key = "" if parts is None else _key(parts)
        return f"{component_name}:{step.key}"

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs of an equal step if their bytes are unchanged; else None, and the reason is recorded."""
        step = self._recorder.step_of(key.partition(":")[0])
        if not self._reuse or step.parts is None:
            step.why = (
                self._keys.why_not_cacheable(step.stage, step.component)
                if self._reuse
                else "the cache was not read, because of --fresh"
            )
            return None
        entry = self._entry(step)
        if entry is None:
            step.why = self._reason(step)
            return None
        left = entry["locations"]
        moved = [name for name, identity in locations_now(step.parts).items() if left.get(name) != identity]
        if moved:
            step.why = f"{moved[0]}: another location, or recreated or changed since"
            return None
        broken = next((name for name, output in entry["outputs"].items() if not _intact(output)), None)
        if broken:
            step.why = f"the cached output {broken} was damaged or deleted"
            return None
        artifacts = {name: _artifact(name, Output(**output)) for name, output in entry["outputs"].items()}
        self._recorder.hit(step, entry["run"], {n: Output(**o) for n, o in entry["outputs"].items()}, entry["values"])
        return {**artifacts, **entry["values"]}

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Store the outputs of a step that has just succeeded."""
        step = self._recorder.step_of(key.partition(":")[0])
        made = {name: _output(value) for name, value in outputs.items() if hasattr(value, "uri")}
        values = to_json({name: value for name, value in outputs.items() if not hasattr(value, "uri")})
        self._recorder.made(step, made, values)
        if step.key:
            entry = {
                "run": self._recorder.run.id,
                "values": values,
                "locations": locations_now(step.parts) if step.parts else {},
                "outputs": {name: output.model_dump() for name, output in made.items()},
            }
            atomic.write_text(Path(self._entry_path(step.key)), json.dumps(entry, indent=1))
        if step.parts:
            atomic.write_text(self._latest(step), step.parts.model_dump_json(indent=1))

    def _entry(self, step: StepRecord) -> dict[str, Any] | None:
        try:
            return dict(json.loads(Path(self._entry_path(step.key)).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return None

    def _latest(self, step: StepRecord) -> Path:
        run = self._recorder.run
        return Path(self.cache_root) / "latest" / run.usecase / run.pipeline / f"{step.name.replace('/', '.')}.json"

    def _reason(self, step: StepRecord) -> str:
        try:
            before = KeyParts.model_validate_json(self._latest(step).read_bytes())
        except FileNotFoundError:
            return "it has not run before"
        except ValueError:
            return "the record of its last execution is damaged"
        assert step.parts is not None  # noqa: S101 - get() has returned for a step without key parts
        changes = list(differences(before, step.parts))
        return "; ".join(changes) if changes else "its cache entry is gone"


def _key(parts: KeyParts) -> str:
    """Without the identity of locations, which `get` compares with how the step left them."""
    return digest.of_value(parts.model_dump(exclude={"locations"})).removeprefix("sha256:")


def _intact(output: dict[str, Any]) -> bool:
    path = Path(output["uri"])
    return path.exists() and digest.of_tree(path) == output["digest"]


def _output(artifact: Any) -> Output:
    path = Path(artifact.path)
    if not path.exists():  # kfp's Metrics have metadata only; an empty file gives them a digest like the others
        try:
            path.touch()
        except OSError as error:
            raise LooplineError(f"{path} cannot be written: {error.strerror}") from error
    return Output(
        kind=artifact.schema_title, uri=artifact.uri, digest=digest.of_tree(path), metadata=to_json(artifact.metadata)
    )


def _artifact(name: str, output: Output) -> Any:
    return executor.create_artifact_instance(
        {"name": name, "uri": output.uri, "metadata": output.metadata, "type": {"schemaTitle": output.kind}}
    )

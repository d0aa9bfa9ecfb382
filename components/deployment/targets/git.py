"""A Git repository as the target of a release: each shift of the traffic is a commit to one file of an overlay.

Argo CD, Flux, or a job that applies the branch brings the change to the cluster. The record is kept in the same
repository on a branch of its own, so the main branch gets no commits for decisions to wait.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from loopline.components.contract.model import Model
from loopline.components.deployment.kserve import endpoint_file, inference_service, model_store, render
from loopline.components.deployment.release.record import Record, expect_next
from loopline.components.deployment.release.target import expect_current
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import Action
from loopline.components.deployment.targets.git_clone import Clone
from loopline.components.deployment.targets.git_command import run
from loopline.components.errors import LooplineError

RECORDS = "loopline-releases"  # the branch


class GitTarget:
    """The endpoint of an overlay.

    Args:
        path: working tree of a clone; it has to be clean, without commits that are not pushed.
        overlay: name of a folder in kustomize/overlays.
        endpoint: name of the InferenceService.
        remote: of the clone.
        branch: that the cluster follows.
    """

    def __init__(self, path: Path, overlay: str, endpoint: str, remote: str = "origin", branch: str = "main") -> None:
        self._clone = Clone(path, remote, branch)
        self._endpoint = endpoint
        self._folder = Path("kustomize") / "overlays" / overlay
        self._file = self._folder / endpoint / "endpoint.yaml"
        self._record_file = f"{overlay}/{endpoint}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from releasing with this clone.

        Raises:
            LooplineError: another process does, or the clone is dirty or has diverged.
        """
        with self._clone.locked():
            self._clone.update()
            yield

    def service(self) -> dict[str, Any]:
        """The InferenceService that the newest commit of the branch renders."""
        self._clone.update()
        program = shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.executable).parent))
        if program is None:
            raise LooplineError("there is no kubectl, which builds the overlay; install it, or `make setup`")
        if not (self._clone.path / self._folder).is_dir():
            raise LooplineError(f"{self._clone.path} has no {self._folder}: name another overlay")
        rendered = run([program, "kustomize", str(self._folder)], self._clone.path)
        for item in yaml.load_all(rendered, Loader=yaml.CSafeLoader):
            if item and item["kind"] == "InferenceService" and item["metadata"]["name"] == self._endpoint:
                if not (self._clone.path / self._file).is_file():
                    raise LooplineError(
                        f"{self._clone.path} has no {self._file}, the patch that a release writes: add it"
                    )
                return dict(item)
        raise LooplineError(f"{self._folder} has no InferenceService {self._endpoint}: name another overlay")

    def traffic_split(self) -> TrafficSplit:
        """The versions that the branch names, and the canary's share."""
        return inference_service.traffic_split(self.service())

    def rendered(self, action: Action, record: Record) -> dict[str, Any]:
        """The InferenceService that the overlay would render after an action."""
        return render.apply_action(self.service(), action, record)

    def upload_model(self, version: str, model: Model) -> None:
        """Upload the package to where the pods of that version fetch it from, unless it is there already."""
        model_store.upload_model(model, render.storage_uri_of(self.service(), version))

    def record(self) -> Record | None:
        """The current or last release."""
        commit = self._clone.fetch(RECORDS)
        text = self._clone.read(commit, self._record_file) if commit else None
        if text is None:
            return None
        try:
            return Record.model_validate_json(text)
        except ValueError as error:
            raise LooplineError(
                f"{self._record_file} on branch {RECORDS} is no record of a release: revert its last commit"
            ) from error

    def store(self, record: Record) -> None:
        """Push the next generation of the record."""

        def change() -> dict[str, str]:
            expect_next(record, self.record())
            return {self._record_file: record.model_dump_json(indent=1) + "\n"}

        last = record.events[-1].kind if record.events else "begun"
        self._clone.push(RECORDS, change, f"Release of {self._endpoint} to version {record.canary}: {last}")

    def apply(self, action: Action, record: Record) -> None:
        """Commit the change to the overlay's endpoint file, and push it."""

        def change() -> dict[str, str]:
            service = self.service()
            expect_current(action, self._endpoint, endpoint_file.generation_of(service))
            patch = endpoint_file.patch_of(render.apply_action(service, action, record), action.generation)
            former = (self._clone.path / self._file).read_text(encoding="utf-8")
            return {self._file.as_posix(): endpoint_file.text_of(patch, former)}

        self._clone.push(self._clone.branch, change, _message(action, record))
        self._clone.update()

    def failure(self, record: Record) -> None:
        """Always None: Git does not show the canary's health. A canary that does not answer shows in the evidence."""


def _message(action: Action, record: Record) -> str:
    subjects = {
        "shift": f"{action.percent}% of {record.endpoint}'s traffic for version {record.canary}",
        "promote": f"Promote version {record.canary} of {record.endpoint}",
        "roll back": f"Roll {record.endpoint} back to version {record.stable}",
    }
    return f"{subjects[action.kind]}\n\n{record.reason}".strip()

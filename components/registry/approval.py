"""Approval: what lets a version be released before it is champion, and the champion's change once it was released.

An approval says that exactly these bytes passed their gates and were shown to be better than the champion that they
were compared with. It is kept with the version. The champion changes when a release ends: what the endpoint serves and
what the registry calls champion are then the same.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, ValidationError

from components.contract import atomic
from components.contract.errors import LooplineError
from components.contract.evaluation import Verdict, read
from components.contract.strict import Strict
from components.contract.usecase import load
from components.registry import aliases, ledger, versions
from components.registry.client import opened, put
from components.registry.promote import admit

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "approval"


class Approval(Strict):
    """That a version may be released.

    Attributes:
        model: digest of the bytes that were approved.
        over: the champion that it was compared with.
        reason: one sentence.
    """

    format: Literal["loopline.approval/1"] = "loopline.approval/1"
    model: str
    over: int
    reason: str
    time: AwareDatetime


def approve(
    usecase: str, registry: str, version: str, champion: str, verdict_path: Path | str, receipt_path: Path | str
) -> None:
    """Approve a version for release; approved already, it stays as it was first.

    Args:
        usecase: package of the use case.
        registry: MLflow tracking URI.
        version: number or alias.
        champion: number of the champion that it was shown to be better than.
        verdict_path: the passed verdict of the gates on exactly this version.
        receipt_path: the JSON file to write: the approval.

    Raises:
        LooplineError: the verdict is not passed or of another model, or there is no such version.
    """
    name = load(usecase).spec.name
    verdict = read(Verdict, verdict_path)
    with opened(registry) as client:
        found = versions.find(client, name, version)
        admit(verdict, name, found)
        approval = _read(client, name, found)
        if approval is None or approval.over != int(champion):
            reason = f"version {found.version} is better than version {champion}, the champion, and {verdict.reason}"
            approval = Approval(model=found.digest, over=int(champion), reason=reason, time=datetime.now(UTC))
            put(client.set_model_version_tag, name, str(found.version), TAG, approval.model_dump_json())
    atomic.write_text(Path(receipt_path), approval.model_dump_json(indent=1))


def expect_releasable(name: str, registry: str, reference: str) -> int:
    """The number of a version that may be released: the champion, or one that was approved.

    Args:
        name: of the model.
        registry: MLflow tracking URI.
        reference: number or alias.

    Raises:
        LooplineError: there is no such version, or it may not be released.
    """
    with opened(registry) as client:
        aliases.settle(client, name)
        found = versions.find(client, name, reference)
        if aliases.CHAMPION not in found.aliases and _read(client, name, found) is None:
            raise LooplineError(
                f"version {found.version} of {name} is not approved, so it gets no traffic: a retraining approves a "
                "challenger that passes its gates and is better than the champion (`loopline run retrain`)"
            )
    return found.version


def promote_released(name: str, registry: str, version: int, over: int, release: str) -> bool:
    """Make a version that was released champion, unless the champion changed in the meantime.

    Args:
        name: of the model.
        registry: MLflow tracking URI.
        version: what the endpoint serves now.
        over: what it served before.
        release: what tells this release from another; repeated, it changes nothing.

    Returns:
        whether the version is champion.

    Raises:
        LooplineError: the registry cannot be written.
    """
    with opened(registry) as client:
        if aliases.champion(client, name) != version:
            decision = ledger.Decision(f"release {release}: {version} over {over}", "promotion", version, over)
            ledger.decide(client, name, decision)
        standing = aliases.settle(client, name)
        if standing.champion == version:
            aliases.release(client, name, version, versions.read_aliases(client, name))
    return standing.champion == version


def _read(client: "MlflowClient", name: str, version: versions.Version) -> Approval | None:
    """The approval of a version; None if it has none, or one of other bytes."""
    text = client.get_model_version(name, str(version.version)).tags.get(TAG)
    if text is None:
        return None
    try:
        approval = Approval.model_validate_json(text)
    except ValidationError as error:
        raise LooplineError(
            f"the approval of version {version.version} of {name} was damaged in MLflow: approve it again"
        ) from error
    return approval if approval.model == version.digest else None

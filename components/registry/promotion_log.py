"""The promotion log: an append-only record of who became champion and why, and the one rule that reads it.

MLflow can move an alias, but not only if it still points to version 3, so two promotions that race would each believe
that they won. What every MLflow backend does atomically is to number the versions of a registered model: no number is
given twice, none is left out. So each promotion and rollback is appended as a version of a registered model of its
own, ``<name>.champions``. All readers see the same order, and `replay` derives the champion from it, by compare and
swap. A change is decided once it is appended; there is no moment in between at which a process could be killed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from loopline.components.errors import LooplineError
from loopline.components.registry.client import CONTENDED, EXISTS, moment, search_versions, tolerating

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DESCRIPTION = (
    "Promotion log of Loopline: each version is one promotion or rollback of {name}, in order. Do not edit it: "
    "the aliases of {name} follow from it."
)
ATTEMPTS = 8
ANY: Literal["any"] = "any"
Expected = int | Literal["any"] | None


@dataclass(frozen=True)
class Change:
    """A request to make ``version`` the champion if ``expected`` still is.

    Attributes:
        key: identifies the change; appended again under the same key, it counts once.
        expected: the champion it was decided against; None: there was none; ANY: whoever it was.
        reason: why the version was to become champion, for people.
        by: the run, or the person, that asked for it.
    """

    key: str
    kind: Literal["promotion", "rollback"]
    version: int
    expected: Expected
    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class ChampionState:
    """The champion, and the one before it."""

    champion: int | None = None
    previous: int | None = None


@dataclass(frozen=True)
class Entry:
    """A change in the log: the state before and after it, and when it was appended (UTC)."""

    change: Change
    before: ChampionState
    after: ChampionState
    time: datetime

    @property
    def accepted(self) -> bool:
        """Whether the version was champion after it; if not, the champion had changed and was kept."""
        return self.after.champion == self.change.version

    @property
    def effect(self) -> str:
        """What it did to the champion, or why it was refused, as a sentence without full stop."""
        version, found = self.change.version, self.before.champion
        if not self.accepted:
            expected = f"version {self.change.expected}" if self.change.expected else "no champion"
            actual = f"version {found} was champion" if found else "there was no champion"
            return f"the decision was made against {expected}, but {actual} when it was carried out"
        if found == version:
            return f"version {version} was champion already"
        if found:
            return f"version {version} took the place of version {found}"
        return f"version {version} is the first champion"


def parse_expected(text: str) -> Expected:
    """Read the champion that a change is decided against: a number, ``any``, or empty for none.

    Raises:
        LooplineError: it is none of these.
    """
    if text == ANY:
        return ANY
    if text and not text.isdigit():
        raise LooplineError(
            f"'{text}' is no version number; give the champion that the decision was made against, "
            "any for whoever it is, or nothing if there was none"
        )
    return int(text) if text else None


def promotion(version: int, expected: Expected, reason: str = "", by: str = "") -> Change:
    """The promotion of a version over the champion that it was compared with."""
    return Change(f"promote {version} over {expected or 'none'}", "promotion", version, expected, reason, by)


def rollback(version: int, expected: int, seen: int, reason: str = "", by: str = "") -> Change:
    """The rollback from ``expected`` to a version, decided after the first ``seen`` entries of the log.

    Two people who see the same log and both roll back thus roll back once, not there and back again.
    """
    return Change(f"roll back {expected} to {version} after {seen}", "rollback", version, expected, reason, by)


def replay(changes: Iterable[tuple[Change, datetime]]) -> list[Entry]:
    """Apply changes in their order; those that repeat an earlier one are left out.

    A change is accepted if the champion is still the one that it was decided against.
    """
    entries: dict[str, Entry] = {}
    state = ChampionState()
    for change, time in changes:
        if change.key in entries:
            continue
        before = state
        if change.version != before.champion and change.expected in {before.champion, ANY}:
            state = ChampionState(change.version, before.champion)
        entries[change.key] = Entry(change, before, state, time)
    return list(entries.values())


def state_after(entries: list[Entry]) -> ChampionState:
    """The champion and the previous one after some entries."""
    return entries[-1].after if entries else ChampionState()


def read(client: "MlflowClient", name: str) -> list[Entry]:
    """All entries in the log of a model, oldest first."""
    return replay(
        (
            Change(
                key=version.tags["decision"],
                kind=version.tags["kind"],
                version=int(version.tags["version"]),
                expected=parse_expected(version.tags["expected"]),
                reason=version.tags.get("reason", ""),
                by=version.tags.get("by", ""),
            ),
            moment(version.creation_timestamp),
        )
        for version in search_versions(client, log_name(name))
    )


def append(client: "MlflowClient", name: str, change: Change) -> Entry:
    """Append a change, unless it is in the log already, and return its entry.

    Raises:
        LooplineError: so many others append at the same time that it could not be recorded.
    """
    for _ in range(ATTEMPTS):
        entries = read(client, name)
        for entry in entries:
            if entry.change.key == change.key:
                return entry
        if not entries:
            with tolerating(EXISTS):
                client.create_registered_model(log_name(name), description=DESCRIPTION.format(name=name))
        with tolerating(CONTENDED):
            _create_version(client, name, change)
    raise LooplineError(
        f"too many promotions and rollbacks of {name} are being recorded at once; run the same command again"
    )


def _create_version(client: "MlflowClient", name: str, change: Change) -> None:
    client.create_model_version(
        log_name(name),
        source=f"models:/{name}/{change.version}",
        description=change.key,
        tags={
            "decision": change.key,
            "kind": change.kind,
            "version": str(change.version),
            "expected": "" if change.expected is None else str(change.expected),
            "reason": change.reason,
            "by": change.by,
        },
        await_creation_for=None,
    )


def log_name(name: str) -> str:
    """The registered model that holds the log; names of use cases have no dot, so it is no use case's model."""
    return f"{name}.champions"

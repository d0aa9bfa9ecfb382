"""Who is champion: an append-only ledger of decisions, and the one rule that reads it.

MLflow can move an alias but not "only if it still points there", so two promotions could each believe that they won.
What every MLflow backend does do atomically is to number the versions of a registered model: no number twice, none
left out. So decisions are appended as the versions of a registered model of their own. That gives them one order that
everybody sees, and `judge` reads from it, the same for all, which of them were carried out. To decide and to be
recorded is one step; there is nothing in between at which a process could be killed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from loopline.components.errors import LooplineError
from loopline.components.registry.client import CONTENDED, EXISTS, tolerating
from loopline.components.registry.versions import moment, search

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DESCRIPTION = (
    "Ledger of Loopline: each version is one decision about the champion of {name}, in order. Do not edit: "
    "the aliases of {name} follow from it."
)
ATTEMPTS = 8
ANY: Literal["any"] = "any"
Expected = int | Literal["any"] | None


@dataclass(frozen=True)
class Decision:
    """What somebody decided: that ``version`` shall be champion, if ``expected`` still is.

    Attributes:
        key: what makes it this decision; repeated under the same key, it counts once.
        expected: the champion that it was decided against; None: that there was none; ANY: whoever it was.
    """

    key: str
    kind: Literal["promotion", "rollback"]
    version: int
    expected: Expected


@dataclass(frozen=True)
class Standing:
    """The champion, and the one before it."""

    champion: int | None = None
    previous: int | None = None


@dataclass(frozen=True)
class Ruling:
    """What became of a decision: how things stood before it and after it, and when it was recorded."""

    decision: Decision
    before: Standing
    after: Standing
    time: datetime

    @property
    def holds(self) -> bool:
        """Whether the version was champion after the decision."""
        return self.after.champion == self.decision.version


def expected(text: str) -> Expected:
    """Read the champion that a decision is made against: a number, ``any``, or empty for none.

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


def promotion(version: int, expected: Expected) -> Decision:
    """The decision to promote a version over the champion it was compared with."""
    return Decision(f"promote {version} over {expected or 'none'}", "promotion", version, expected)


def rollback(version: int, expected: int, recorded: int) -> Decision:
    """The decision to go back to a version, made in view of the first ``recorded`` decisions.

    Two people who see the same and decide the same thus decide once, not there and back again.
    """
    return Decision(f"roll back {expected} to {version} after {recorded}", "rollback", version, expected)


def judge(entries: Iterable[tuple[Decision, datetime]]) -> list[Ruling]:
    """Rule on decisions in their order; those that repeat an earlier one are left out.

    A decision is carried out if the champion is still the one that it was made against.
    """
    rulings: dict[str, Ruling] = {}
    standing = Standing()
    for decision, time in entries:
        if decision.key in rulings:
            continue
        before = standing
        if decision.version != before.champion and decision.expected in {before.champion, ANY}:
            standing = Standing(decision.version, before.champion)
        rulings[decision.key] = Ruling(decision, before, standing, time)
    return list(rulings.values())


def standing_after(rulings: list[Ruling]) -> Standing:
    """How things stand after some rulings."""
    return rulings[-1].after if rulings else Standing()


def read(client: "MlflowClient", name: str) -> list[Ruling]:
    """The rulings on every decision about a model so far."""
    return judge(
        (
            Decision(
                key=entry.tags["decision"],
                kind=entry.tags["kind"],
                version=int(entry.tags["version"]),
                expected=expected(entry.tags["expected"]),
            ),
            moment(entry.creation_timestamp),
        )
        for entry in search(client, title(name))
    )


def decide(client: "MlflowClient", name: str, decision: Decision) -> Ruling:
    """Record a decision, unless it is recorded already, and return the ruling on it.

    Raises:
        LooplineError: so many others decide at the same time that it could not be recorded.
    """
    for _ in range(ATTEMPTS):
        rulings = read(client, name)
        for ruling in rulings:
            if ruling.decision.key == decision.key:
                return ruling
        if not rulings:
            with tolerating(EXISTS):
                client.create_registered_model(title(name), description=DESCRIPTION.format(name=name))
        with tolerating(CONTENDED):
            _append(client, name, decision)
    raise LooplineError(f"too many decisions about {name} are being recorded at once; run the same command again")


def _append(client: "MlflowClient", name: str, decision: Decision) -> None:
    client.create_model_version(
        title(name),
        source=f"models:/{name}/{decision.version}",
        description=decision.key,
        tags={
            "decision": decision.key,
            "kind": decision.kind,
            "version": str(decision.version),
            "expected": "" if decision.expected is None else str(decision.expected),
        },
        await_creation_for=None,
    )


def title(name: str) -> str:
    """Name of the registered model that holds the decisions; use case names have no dot, so it is nobody's model."""
    return f"{name}.champions"

"""Made-up traffic of an endpoint under release: as rows of a prediction log, and as counts of many releases at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa

from loopline.components.contract import prediction_log as log
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis import confidence
from loopline.components.deployment.analysis.analyse import Decision, RolloutStep, analyse
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.baseline import from_rows as baseline_from_rows
from loopline.components.deployment.analysis.checks import CHECKS
from loopline.components.deployment.analysis.confidence import Means, Shares
from loopline.components.deployment.analysis.evidence import Evidence, Tally, from_rows

STABLE, CANARY = "7", "8"
# Both sides, how much worse the canary may be, and alpha; whether it is shown to be worse.
Test = Callable[[Shares | Means, Shares | Means, float, float], np.ndarray]
BEGIN = datetime(2013, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Behaviour:
    """How a version answers: one in fifty requests fails, half take more than 20 ms, a fifth of the labels are 1.

    Attributes:
        errors: share of failed requests.
        slowdown: factor on every latency.
        shift: added to every probability. ``noise``: standard deviation of what the model gets wrong by itself.
    """

    errors: float = 0.02
    slowdown: float = 1.0
    shift: float = 0.0
    noise: float = 0.05


GOOD = Behaviour()
BAD = {
    "twice the errors": Behaviour(errors=0.04),
    "1.5 times slower": Behaviour(slowdown=1.5),
    "miscalibrated by 0.1": Behaviour(shift=0.1),
}


def rows(
    behaviour: Behaviour, version: str, requests: int, seed: int, begin: datetime = BEGIN, lasting: float = 3600.0
) -> pa.Table:
    """Rows of a prediction log, spread evenly over so many seconds."""
    random = np.random.default_rng(seed)
    risk = random.beta(2, 7, requests)
    failed = random.random(requests) < behaviour.errors
    score = np.clip(risk + behaviour.shift + random.normal(0, behaviour.noise, requests), 0.001, 0.999)
    microseconds = (np.arange(requests) * (lasting * 1e6 / max(requests, 1))).astype("int64")
    return pa.table(
        [
            pa.array(microseconds + int(begin.timestamp() * 1e6), pa.timestamp("us", "UTC")),
            pa.array([version] * requests, pa.string()),
            pa.array(failed),
            pa.array(behaviour.slowdown * random.lognormal(np.log(0.02), 0.4, requests)),
            pa.array(score, mask=failed),
            pa.array((random.random(requests) < risk).astype(float)),
        ],
        schema=log.SCHEMA,
    )


@cache
def baseline_of(policy: ReleasePolicy, requests: int = 2_000, seed: int = 1) -> Baseline:
    """The baseline of a stable that behaves well, from so many requests."""
    before = rows(GOOD, STABLE, requests, seed)
    return baseline_from_rows(before, policy, "binary_classification", STABLE)


class Side:
    """Counts of one side, drawn for many releases at once from what a long log of its behaviour shows."""

    def __init__(self, behaviour: Behaviour, baseline: Baseline, requests: int = 200_000) -> None:
        assert baseline.latency
        assert baseline.scores
        assert baseline.quality
        table = rows(behaviour, STABLE, requests, seed=99)
        failed, latency, score, label = (
            log.numbers(table, column) for column in (log.FAILED, log.LATENCY, log.SCORE, log.LABEL)
        )
        score, label = score[failed == 0], label[failed == 0]
        loss = -np.log(np.where(label == 1, score, 1 - score))
        self.errors = behaviour.errors
        self.slow = float(np.mean(latency > baseline.latency.limit))
        bins = np.searchsorted(baseline.scores.cuts, score)  # the number of cuts below the score
        self.bins = np.bincount(bins, minlength=len(baseline.scores.cuts) + 1) / len(score)
        self.losses = np.linspace(0, 1, 101)
        scaled = np.minimum(loss / baseline.quality.worst, 1)
        self.loss = np.bincount(np.rint(scaled * 100).astype(int), minlength=101) / len(scaled)
        self.guess = baseline.quality.mean

    def batches(self, random: np.random.Generator, requests: int, releases: int, looks: int) -> dict[str, np.ndarray]:
        """Cumulative counts at each look, [releases, looks, ...], with so many requests between two looks."""
        shape = (releases, looks)
        bins = random.multinomial(requests, self.bins, shape)
        losses = random.multinomial(requests, self.loss, shape)
        counts = {
            "requests": np.full(shape, requests),
            "errors": random.binomial(requests, self.errors, shape),
            "slow": random.binomial(requests, self.slow, shape),
            "above": np.flip(np.cumsum(np.flip(bins, -1), -1), -1)[..., 1:],
            "loss": losses @ self.losses,
            "spread": losses @ np.square(self.losses - self.guess),
        }
        return {name: np.cumsum(count, axis=1) for name, count in counts.items()}


@cache
def _stable(baseline: Baseline) -> Side:
    return Side(GOOD, baseline)


def tallies(counts: dict[str, np.ndarray], release: int, labelled: bool = True) -> Iterator[Tally]:
    """The counts of one release, look after look."""
    for look in range(counts["requests"].shape[1]):
        here = {name: count[release, look] for name, count in counts.items()}
        requests = int(here["requests"])
        yield Tally(
            requests=requests,
            errors=int(here["errors"]),
            timed=requests,
            slow=int(here["slow"]),
            scored=requests,
            above=tuple(here["above"].tolist()),
            labelled=requests if labelled else 0,
            loss=float(here["loss"]) if labelled else 0,
            spread=float(here["spread"]) if labelled else 0,
        )


def at_its_bounds(policy: ReleasePolicy, baseline: Baseline) -> Side:
    """The worst canary that is still allowed: as bad as its bounds in everything, all at once."""
    side = Side(GOOD, baseline)
    side.errors += policy.errors.worse_by
    side.slow += policy.latency.worse_by
    side.bins[:2] -= (0.6 * policy.scores.worse_by, 0.4 * policy.scores.worse_by)
    side.bins[-1] += policy.scores.worse_by
    more = policy.quality.worse_by * side.guess / (1 - side.loss @ side.losses)  # share that loses the worst
    side.loss *= 1 - more
    side.loss[-1] += more
    return side


def alarms(
    policy: ReleasePolicy,
    baseline: Baseline,
    canary: Side,
    releases: int,
    batch: int,
    seed: int,
    test: Test | None = None,
) -> dict[str, np.ndarray]:
    """When each check first shows harm in each step, as requests of the canary, [releases, steps]; infinite if never.

    The computation of `checks.run_checks` for many releases at once, with a look after every batch until the most
    requests, whether or not the step would have ended before. ``test`` replaces the test that `run_checks` uses.
    """
    assert baseline.latency
    assert baseline.scores
    shown = test or _shown
    alpha = policy.false_rollback / (len(policy.steps) * len(CHECKS))
    looks, found = policy.requests[1] // batch, {name: [] for name in CHECKS}
    for number, percent in enumerate(policy.steps):
        random = np.random.default_rng([seed, number])
        own = canary.batches(random, batch, releases, looks)
        other = _stable(baseline).batches(random, batch * (100 - percent) // percent, releases, looks)
        for name, bound, guess in (
            ("errors", policy.errors, baseline.errors),
            ("slow", policy.latency, baseline.latency.slow),
        ):
            sides = [
                Shares(*_floats(side, name, "requests"), guess, weight) for side, weight in ((own, 20), (other, 200))
            ]
            found["latency" if name == "slow" else name].append(shown(*sides, bound.worse_by, alpha))
        cut_alpha = alpha / len(baseline.scores.cuts)
        sides = [
            Shares(side["above"] * 1.0, side["requests"][..., None] * 1.0, np.array(baseline.scores.above), weight)
            for side, weight in ((own, 20), (other, 200))
        ]
        apart = policy.scores.worse_by
        either = shown(*sides, apart, cut_alpha) | shown(*reversed(sides), apart, cut_alpha)
        found["scores"].append(either.any(axis=-1))
        sides = [Means(*_floats(side, "requests", "loss", "spread")) for side in (own, other)]
        found["quality"].append(shown(*sides, policy.quality.worse_by * canary.guess, alpha))
    first = {name: np.stack(steps, axis=1) for name, steps in found.items()}
    return {name: np.where(at.any(-1), batch * (1 + at.argmax(-1)), np.inf) for name, at in first.items()}


def rolled_back(found: dict[str, np.ndarray]) -> float:
    """Share of releases in which any check shows harm in any step."""
    return float(np.mean(np.any([np.isfinite(at).any(axis=1) for at in found.values()], axis=0)))


def _floats(counts: dict[str, np.ndarray], *names: str) -> list[np.ndarray]:
    return [counts[name].astype(float) for name in names]


def _shown(canary: Shares | Means, stable: Shares | Means, worse_by: float, alpha: float) -> np.ndarray:
    """Whether the canary's mean is shown to be greater by more than allowed."""
    bound = np.full(canary.mean.shape, worse_by)
    evidence = confidence._least_evidence(canary, stable, bound)
    return (canary.mean - stable.mean > worse_by) & (evidence > -np.log(alpha))


def step(number: int, policy: ReleasePolicy, started: datetime = BEGIN) -> RolloutStep:
    """A step of the policy that is under way."""
    return RolloutStep(number=number, percent=policy.steps[number - 1], started=started)


def peek(policy: ReleasePolicy, baseline: Baseline, number: int, canary: Side, seed: int, batch: int) -> Decision:
    """Live through one step with a look after every batch of the canary's requests; give the decision that ends it.

    The same traffic as that of the first release of `alarms`, if that has no others.
    """
    random = np.random.default_rng([seed, number - 1])
    percent, looks = policy.steps[number - 1], policy.requests[1] // batch
    own = canary.batches(random, batch, 1, looks)
    other = _stable(baseline).batches(random, batch * (100 - percent) // percent, 1, looks)
    for look, (seen, beside) in enumerate(zip(tallies(own, 0), tallies(other, 0), strict=True)):
        now = BEGIN + timedelta(seconds=look + 1)
        evidence = Evidence(start=BEGIN, end=now, canary=seen, stable=beside)
        decision = analyse(policy, baseline, step(number, policy), evidence, now)
        if decision.outcome != "wait":
            return decision
    raise AssertionError("the most requests were reached and nothing was decided")


def evidence_of(table: pa.Table, baseline: Baseline, lasting: float = 3600.0) -> Evidence:
    """Evidence of a log of both sides that begins at BEGIN."""
    period = Window(BEGIN, BEGIN + timedelta(seconds=lasting))
    return from_rows(table, baseline, "binary_classification", period, CANARY, STABLE)

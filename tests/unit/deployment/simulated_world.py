"""An endpoint in memory with a clock of its own: its traffic follows the weights that a release sets."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from loopline.components.contract import usecase
from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.release.controller import ReleaseController
from loopline.components.deployment.release.target import StaleActionError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.errors import LooplineError
from tests.canary_traffic import BEGIN, CANARY, GOOD, STABLE, rows

POLICY = ReleasePolicy(steps=(20, 50), requests=(200, 1_000))
SPEC = usecase.load("loopline.usecases.flights").spec.model_copy(update={"release": POLICY})


class Killed(BaseException):
    """The process ends here."""


class World:
    """The endpoint, its record, its log and the time; it outlives whoever releases.

    Args:
        canary: how the canary behaves. ``stable``: likewise.
        dies_at: the count of the effect at which the releasing process is killed, before or after it (half numbers).
    """

    def __init__(self, canary=GOOD, stable=GOOD, dies_at=None):
        self.time = BEGIN
        self.behaviour = {STABLE: stable, CANARY: canary}
        self.split = TrafficSplit(STABLE)
        self.kept = None
        self.fence = 0
        self.log = [rows(stable, STABLE, 2_000, seed=1, begin=BEGIN - timedelta(hours=1))]
        self.dies_at = dies_at
        self.effects = 0
        self.done = []
        self.failing = None
        self.seed = 0

    def effect(self, change):
        """Change something, and be killed before or after that if so wanted."""
        self.effects += 1
        if self.dies_at == self.effects - 0.5:
            raise Killed
        change()
        if self.dies_at == self.effects:
            raise Killed

    # what a target does

    def traffic_split(self):
        return self.split

    def record(self):
        return self.kept

    def store(self, record):
        def change():
            self.kept = record

        if record.generation != (self.kept.generation if self.kept else 0) + 1:
            raise LooplineError("changed by another process")
        self.effect(change)

    def apply(self, action, record):
        def change():
            self.fence = action.generation
            self.done.append((action.kind, action.percent))
            self.split = {
                "shift": TrafficSplit(record.stable, record.canary, action.percent),
                "promote": TrafficSplit(record.canary),
                "roll back": TrafficSplit(record.stable),
            }[action.kind]

        if action.generation < self.fence:
            raise StaleActionError("stale")
        self.effect(change)

    def failure(self, record):
        return self.failing

    # time and traffic

    def sleep(self, seconds):
        """Let time pass, in which requests come: 60 a second, split by a coin of its own."""
        self.seed += 1
        requests = int(seconds * 60)
        of_canary = int(np.random.default_rng(self.seed).binomial(requests, self.split.percent / 100))
        for version, count in ((self.split.canary, of_canary), (self.split.stable, requests - of_canary)):
            if count:
                self.log.append(
                    rows(self.behaviour[version], version, count, 10 * self.seed + int(version), self.time, seconds)
                )
        self.time += timedelta(seconds=seconds)

    def read_log(self, since):
        return pa.concat_tables(self.log)

    def controller(self, owner="run-1", **changes):
        """Whoever releases; a new one after each death."""
        settings = {
            "target": self,
            "spec": SPEC,
            "read_log": self.read_log,
            "owner": owner,
            "on_decision": lambda decision: None,
            "now": lambda: self.time,
            "sleep": self.sleep,
            **changes,
        }
        return ReleaseController(**settings)

"""How an endpoint's traffic is split between two versions."""

from typing import NamedTuple


class TrafficSplit(NamedTuple):
    """The stable version, and the canary with its percent of the traffic if there is one."""

    stable: str
    canary: str | None = None
    percent: int = 0

"""What an InferenceService says of its versions, for both of KServe's modes, and what KServe makes nothing of.

The annotation ``deploymentMode`` tells the modes apart. KServe says nothing about a field that it does not heed, so
what it would ignore is refused here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from loopline.components.errors import LooplineError

Mode = Literal["Standard", "Knative"]
Object = Mapping[str, Any]

MODE = "serving.kserve.io/deploymentMode"
VERSION = "loopline.dev/model-version"  # label of the pods, from which the transformer knows its version
STABLE = "loopline.dev/stable-version"  # in Knative mode, while the newest revision is not the stable one
# Fields of a predictor that say how many pods it has. KServe refuses the first on a canary, which has minReplicas.
SCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "workerSpec")
MIN_REPLICAS = "minReplicas"
PERCENT = "canaryTrafficPercent"
ALL = 100


class TrafficSplit(NamedTuple):
    """Who gets what: the stable version, and the canary with its percent of the traffic, if there is one."""

    stable: str
    canary: str | None = None
    percent: int = 0


def mode_of(service: Object) -> Mode:
    """KServe's mode.

    Raises:
        LooplineError: the annotation is missing, or names a mode without weights.
    """
    found = service.get("metadata", {}).get("annotations", {}).get(MODE)
    if found == "Standard":
        return "Standard"
    if found == "Knative":
        return "Knative"
    named = f"says '{found}'" if found else "is missing"
    raise refused(
        service,
        f"the annotation {MODE} {named}, and KServe would ignore a canary: use the component canary-standard or "
        "canary-knative",
    )


def check(service: Object, *, gateway_api: bool = True) -> None:
    """Refuse what KServe would refuse, or ignore without a word.

    Args:
        service: an InferenceService, complete.
        gateway_api: whether the cluster's KServe has ``enableGatewayApi: true``.

    Raises:
        LooplineError: see the message.
    """
    mode = mode_of(service)
    canaries = service["spec"].get("canary", [])
    if mode == "Knative":
        if canaries:
            raise refused(service, f"KServe ignores spec.canary in Knative mode: use {PERCENT} of the predictor")
        expect_percent(service, service["spec"]["predictor"].get(PERCENT, ALL), least=0)
        return
    for predictor in (service["spec"]["predictor"], *(canary["predictor"] for canary in canaries)):
        if PERCENT in predictor:
            raise refused(service, f"KServe ignores {PERCENT} in Standard mode: use spec.canary")
    if canaries and not gateway_api:
        raise refused(
            service,
            "KServe splits traffic over the Gateway API only: set enableGatewayApi to true in its configuration",
        )
    for problem in _canary_problems(service):
        raise refused(service, problem)


def traffic_split(service: Object) -> TrafficSplit:
    """Which versions are served.

    Raises:
        LooplineError: a predictor does not say its version, or the object is refused by `check`.
    """
    check(service)
    newest = version_of(service, service["spec"]["predictor"])
    if mode_of(service) == "Knative":
        percent = service["spec"]["predictor"].get(PERCENT, ALL)
        if percent == ALL:
            return TrafficSplit(newest)
        stable = service["metadata"]["annotations"].get(STABLE)
        if not stable:
            raise refused(
                service, f"a canary has {percent}% of the traffic, and no annotation {STABLE} says beside what"
            )
        return TrafficSplit(stable, newest, percent) if percent else TrafficSplit(stable)
    canaries = service["spec"].get("canary", [])
    if len(canaries) > 1:
        raise refused(service, f"it has {len(canaries)} canaries, and a release is of one: remove the others")
    for canary in canaries:
        return TrafficSplit(newest, version_of(service, canary["predictor"]), canary["trafficPercent"])
    return TrafficSplit(newest)


def _canary_problems(service: Object) -> Iterator[str]:
    """What is wrong with the canaries of a service in Standard mode."""
    stable, canaries = service["spec"]["predictor"], service["spec"].get("canary", [])
    names = [predictor.get("name") for predictor in (stable, *(canary["predictor"] for canary in canaries))]
    if canaries and None in names:
        yield "a predictor beside a canary has no name, and a promotion renames"
    if len(set(names)) < len(names):
        yield f"a canary is equal to the stable or another canary: both are named {max(names, key=names.count)}"
    for canary in canaries:
        expect_percent(service, canary["trafficPercent"])
        forbidden = [field for field in SCALING if field in canary["predictor"]]
        if forbidden:
            yield f"a canary cannot scale by itself: remove {', '.join(forbidden)} from it"
        if canary["predictor"].get(MIN_REPLICAS, 1) > stable.get(MIN_REPLICAS, 1):
            yield (
                f"the canary's {MIN_REPLICAS} {canary['predictor'][MIN_REPLICAS]} is above the stable's, "
                f"{stable.get(MIN_REPLICAS, 1)}"
            )
    total = sum(canary["trafficPercent"] for canary in canaries)
    if total > ALL:
        yield f"the canaries have {total}% of the traffic together, and there is no more than {ALL}%"


def expect_percent(service: Object, percent: Any, least: int = 1) -> None:
    """Refuse what is no share of the traffic.

    Raises:
        LooplineError: it is no whole number from ``least`` to 100.
    """
    if not isinstance(percent, int) or isinstance(percent, bool) or not least <= percent <= ALL:
        raise refused(service, f"{percent} is no share of the traffic: give per cent as a whole number up to {ALL}")


def version_of(service: Object, predictor: Object) -> str:
    """The version that a predictor of a service serves.

    Raises:
        LooplineError: it does not say.
    """
    version = predictor.get("labels", {}).get(VERSION)
    if not version:
        raise refused(service, f"a predictor has no label {VERSION}, which says what it serves")
    return str(version)


def refused(service: Object, problem: str) -> LooplineError:
    """What is wrong with a service, as an error."""
    return LooplineError(f"InferenceService {service.get('metadata', {}).get('name', '')}: {problem}")

"""Read which versions an InferenceService serves, and refuse what KServe would refuse or silently ignore.

KServe has two deployment modes with different canary fields; the annotation ``deploymentMode`` says which one applies.
KServe ignores the fields of the other mode without a word, so they are refused here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.errors import LooplineError

Mode = Literal["Standard", "Knative"]
Object = Mapping[str, Any]

MODE = "serving.kserve.io/deploymentMode"
VERSION = "loopline.dev/model-version"  # label of the pods; the transformer reads its version from it
STABLE = "loopline.dev/stable-version"  # set in Knative mode while the newest revision is not the stable one
# Fields of a predictor that say how many pods it has. KServe refuses them on a canary; minReplicas it takes.
SCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "workerSpec")
MIN_REPLICAS = "minReplicas"
PERCENT = "canaryTrafficPercent"
ALL = 100


def mode_of(service: Object) -> Mode:
    """KServe's deployment mode.

    Raises:
        LooplineError: the annotation is missing, or names a mode that has no canaries.
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


def check(service: Object, *, gateway_api: bool = True, least: int = 1) -> None:
    """Refuse what KServe would refuse or silently ignore.

    Args:
        service: a complete InferenceService.
        gateway_api: whether the cluster's KServe has ``enableGatewayApi: true``.
        least: percent that a canary has to have; 0 where one may start before it gets traffic.

    Raises:
        LooplineError: something is refused; the message says what to do.
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
    for canary in canaries:
        expect_percent(service, canary["trafficPercent"], least)
    for problem in _canary_problems(service):
        raise refused(service, problem)


def traffic_split(service: Object) -> TrafficSplit:
    """Which versions are served, and the canary's share.

    Raises:
        LooplineError: a predictor does not name its version, or the object is refused by `check`.
    """
    check(service, least=0)
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
    """What KServe would refuse of the canaries of a service in Standard mode."""
    stable, canaries = service["spec"]["predictor"], service["spec"].get("canary", [])
    names = [predictor.get("name") for predictor in (stable, *(canary["predictor"] for canary in canaries))]
    if canaries and None in names:
        yield "a predictor beside a canary has no name, and a promotion renames"
    if len(set(names)) < len(names):
        yield f"a canary is equal to the stable or another canary: both are named {max(names, key=names.count)}"
    for canary in canaries:
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
    """Refuse a percentage that is not a whole number from ``least`` to 100.

    Raises:
        LooplineError: it is not.
    """
    if not isinstance(percent, int) or isinstance(percent, bool) or not least <= percent <= ALL:
        raise refused(service, f"{percent} is no share of the traffic: give per cent as a whole number up to {ALL}")


def version_of(service: Object, predictor: Object) -> str:
    """The model version that a predictor of a service names.

    Raises:
        LooplineError: it names none.
    """
    version = predictor.get("labels", {}).get(VERSION)
    if not version:
        raise refused(service, f"a predictor has no label {VERSION}, which says what it serves")
    return str(version)


def refused(service: Object, problem: str) -> LooplineError:
    """An error about a service."""
    return LooplineError(f"InferenceService {service.get('metadata', {}).get('name', '')}: {problem}")

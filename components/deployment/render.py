"""The InferenceService of an endpoint under release: the stable version, and beside it a canary with its share.

Pure functions from object to object, for both of KServe's modes, which the annotation ``deploymentMode`` tells apart:

- Standard: the canary is an entry of ``spec.canary`` with a predictor of its own name. Promotion is a rename: the
  stable predictor takes the canary's name and model, so KServe goes on with the Deployment that serves it already.
- Knative: the newest revision is the canary, and ``canaryTrafficPercent`` its share; KServe keeps the revision that had
  all traffic last. A canary that was rolled back stays there with no traffic: naming the former model again would make
  a new revision of it, and until that is ready Knative would send all traffic to the canary.

KServe says nothing about a field that it does not heed, so what it would ignore is refused here.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from components.contract.errors import LooplineError
from components.deployment.record import Record
from components.deployment.transitions import Action

Mode = Literal["Standard", "Knative"]
Object = Mapping[str, Any]

MODE = "serving.kserve.io/deploymentMode"
VERSION = "loopline.dev/model-version"  # label of the pods, from which the transformer knows its version
STABLE = "loopline.dev/stable-version"  # in Knative mode, while the newest revision is not the stable one
# Fields of a predictor that say how many pods it has. KServe refuses the first on a canary, which has minReplicas.
SCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "workerSpec")
MIN_REPLICAS = "minReplicas"
PERCENT = "canaryTrafficPercent"
# The container that a predictor's model is served in. KServe names it so itself, and its schema demands it of a canary.
CONTAINER = "kserve-container"
ALL = 100


class Standing(NamedTuple):
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
    raise _refused(
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
            raise _refused(service, f"KServe ignores spec.canary in Knative mode: use {PERCENT} of the predictor")
        _expect_percent(service, service["spec"]["predictor"].get(PERCENT, ALL), least=0)
        return
    for predictor in (service["spec"]["predictor"], *(canary["predictor"] for canary in canaries)):
        if PERCENT in predictor:
            raise _refused(service, f"KServe ignores {PERCENT} in Standard mode: use spec.canary")
    if canaries and not gateway_api:
        raise _refused(
            service,
            "KServe splits traffic over the Gateway API only: set enableGatewayApi to true in its configuration",
        )
    for problem in _canary_problems(service):
        raise _refused(service, problem)


def standing(service: Object) -> Standing:
    """Which versions are served.

    Raises:
        LooplineError: a predictor does not say its version, or the object is refused by `check`.
    """
    check(service)
    newest = _version(service, service["spec"]["predictor"])
    if mode_of(service) == "Knative":
        percent = service["spec"]["predictor"].get(PERCENT, ALL)
        if percent == ALL:
            return Standing(newest)
        stable = service["metadata"]["annotations"].get(STABLE)
        if not stable:
            raise _refused(
                service, f"a canary has {percent}% of the traffic, and no annotation {STABLE} says beside what"
            )
        return Standing(stable, newest, percent) if percent else Standing(stable)
    canaries = service["spec"].get("canary", [])
    if len(canaries) > 1:
        raise _refused(service, f"it has {len(canaries)} canaries, and a release is of one: remove the others")
    for canary in canaries:
        return Standing(newest, _version(service, canary["predictor"]), canary["trafficPercent"])
    return Standing(newest)


def with_canary(service: Object, version: str, percent: int) -> dict[str, Any]:
    """The service with a canary beside its stable version; a canary that is there gets that share.

    Args:
        service: an InferenceService, complete.
        version: of the canary.
        percent: of the traffic, 1 to 99.

    Raises:
        LooplineError: the version is the stable one, another canary is there, or KServe would refuse or ignore it.
    """
    now = standing(service)
    if version == now.stable:
        raise _refused(service, f"version {version} is the stable one already and cannot be its own canary")
    if now.canary not in {None, version}:
        raise _refused(service, f"version {now.canary} is its canary: end that release first")
    _expect_percent(service, percent)
    changed = _copy(service)
    if mode_of(service) == "Knative":
        _serve(service, changed["spec"]["predictor"], version)
        changed["spec"]["predictor"][PERCENT] = percent
        changed["metadata"]["annotations"][STABLE] = now.stable
    else:
        canary = changed["spec"]["canary"][0]["predictor"] if now.canary else _canary(service, version)
        changed["spec"]["canary"] = [{"trafficPercent": percent, "predictor": canary}]
    check(changed)
    return changed


def promoted(service: Object) -> dict[str, Any]:
    """The service with its canary as the stable version; one that has none is as it should be.

    Raises:
        LooplineError: the object is refused by `check`.
    """
    now = standing(service)
    changed = _copy(service)
    if now.canary is None:
        return changed
    if mode_of(service) == "Knative":
        changed["spec"]["predictor"][PERCENT] = ALL
        del changed["metadata"]["annotations"][STABLE]
    else:
        stable, canary = changed["spec"]["predictor"], changed["spec"].pop("canary")[0]["predictor"]
        scaling = {key: stable[key] for key in (*SCALING, MIN_REPLICAS) if key in stable}
        changed["spec"]["predictor"] = {**{k: v for k, v in canary.items() if k != MIN_REPLICAS}, **scaling}
        if "name" not in stable["model"]:
            canary["model"].pop("name")
    return changed


def without_canary(service: Object) -> dict[str, Any]:
    """The service with all traffic at its stable version.

    Raises:
        LooplineError: the object is refused by `check`.
    """
    now = standing(service)
    changed = _copy(service)
    if now.canary and mode_of(service) == "Knative":
        changed["spec"]["predictor"][PERCENT] = 0
    elif now.canary:
        del changed["spec"]["canary"]
    return changed


def carried_out(service: Object, action: Action, record: Record) -> dict[str, Any]:
    """The service after a shift, promotion or rollback; after one that was carried out already, as it is.

    Raises:
        LooplineError: the object is refused by `check`, or serves other versions than the release is of.
    """
    now = standing(service)
    before, after = {(record.stable, None), (record.stable, record.canary)}, (record.canary, None)
    expected = {"shift": before, "roll back": before, "promote": {(record.stable, record.canary), after}}
    if (now.stable, now.canary) not in expected[action.kind]:
        raise _refused(
            service,
            f"it serves version {now.stable}{f' and {now.canary}' if now.canary else ''}, and the release is of "
            f"{record.canary} over {record.stable}: somebody changed it by hand; put it back",
        )
    if action.kind == "shift":
        return with_canary(service, record.canary, action.percent)
    return promoted(service) if action.kind == "promote" else without_canary(service)


def pods(predictor: Object) -> dict[str, Any]:
    """What of a predictor makes its pods: where this and the name stay the same, no pod restarts."""
    made = {key: value for key, value in predictor.items() if key not in {*SCALING, MIN_REPLICAS, PERCENT, "name"}}
    return {**made, "model": {"name": CONTAINER, **predictor["model"]}}


def _canary(service: Object, version: str) -> dict[str, Any]:
    """The stable predictor with another model, and as many pods as that has at least."""
    predictor = {k: copy.deepcopy(v) for k, v in service["spec"]["predictor"].items() if k not in SCALING}
    _serve(service, predictor, version)
    predictor["name"] = f"v{version}"
    predictor["model"].setdefault("name", CONTAINER)
    return predictor


def _serve(service: Object, predictor: dict[str, Any], version: str) -> None:
    """Change the version that a predictor serves, in place: its label, and the folder that its model lies in."""
    uri, former = predictor["model"]["storageUri"], _version(service, predictor)
    parts = uri.split("/")
    if parts.count(former) != 1:
        raise _refused(
            service, f"storageUri {uri} does not name version {former} as one folder, so that of another cannot be told"
        )
    parts[parts.index(former)] = version
    predictor["model"]["storageUri"] = "/".join(parts)
    predictor["labels"][VERSION] = version


def _canary_problems(service: Object) -> Iterator[str]:
    """What is wrong with the canaries of a service in Standard mode."""
    stable, canaries = service["spec"]["predictor"], service["spec"].get("canary", [])
    names = [predictor.get("name") for predictor in (stable, *(canary["predictor"] for canary in canaries))]
    if canaries and None in names:
        yield "a predictor beside a canary has no name, and a promotion renames"
    if len(set(names)) < len(names):
        yield f"a canary is equal to the stable or another canary: both are named {max(names, key=names.count)}"
    for canary in canaries:
        _expect_percent(service, canary["trafficPercent"])
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


def _expect_percent(service: Object, percent: Any, least: int = 1) -> None:
    if not isinstance(percent, int) or isinstance(percent, bool) or not least <= percent <= ALL:
        raise _refused(service, f"{percent} is no share of the traffic: give per cent as a whole number up to {ALL}")


def _version(service: Object, predictor: Object) -> str:
    version = predictor.get("labels", {}).get(VERSION)
    if not version:
        raise _refused(service, f"a predictor has no label {VERSION}, which says what it serves")
    return str(version)


def _copy(service: Object) -> dict[str, Any]:
    return copy.deepcopy(dict(service))


def _refused(service: Object, problem: str) -> LooplineError:
    return LooplineError(f"InferenceService {service.get('metadata', {}).get('name', '')}: {problem}")

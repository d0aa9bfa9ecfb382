"""Render the InferenceService of an endpoint: with one version, with a canary, promoted, or rolled back.

Pure functions from object to object, for the local endpoint and for both of KServe's deployment modes:

- Standard (and local): the canary is an entry of ``spec.canary`` with a predictor of its own name. A promotion is a
  rename: the stable predictor takes the canary's name and model, so KServe keeps the Deployment that already serves it.
- Knative: the newest revision is the canary, and ``canaryTrafficPercent`` is its share; KServe remembers the last
  revision that had all traffic. A rolled-back canary stays the newest revision, at 0 percent: naming the former model
  again would create a new revision of it, and Knative would send all traffic to the canary until that is ready.

What KServe would refuse or ignore is refused here, see `inference_service`.
"""

import copy
from typing import Any

from loopline.components.deployment.kserve.inference_service import (
    ALL,
    MIN_REPLICAS,
    PERCENT,
    SCALING,
    STABLE,
    VERSION,
    Object,
    check,
    expect_percent,
    mode_of,
    refused,
    traffic_split,
    version_of,
)
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.transitions import Action

# The container that serves the model. KServe gives it this name, and its schema requires the name on a canary.
CONTAINER = "kserve-container"


def with_stable(service: Object, version: str, storage_uri: str) -> dict[str, Any]:
    """The service, in Standard mode, with all traffic at one version.

    Args:
        service: a complete InferenceService.
        version: to serve.
        storage_uri: of its model repository.
    """
    changed = _copy(service)
    changed["spec"].pop("canary", None)
    predictor = changed["spec"]["predictor"]
    predictor["name"] = f"v{version}"
    predictor["labels"][VERSION] = version
    predictor["model"]["storageUri"] = storage_uri
    return changed


def with_canary(
    service: Object, version: str, percent: int, storage_uri: str = "", *, least: int = 1
) -> dict[str, Any]:
    """The service with a canary beside its stable version, or with another share for the canary that it has.

    Args:
        service: a complete InferenceService.
        version: of the canary.
        percent: of the traffic.
        storage_uri: of the canary's model repository; empty for the stable's with the version replaced.
        least: the smallest percent allowed, see `check`.

    Raises:
        LooplineError: the version is the stable one, there is another canary, or KServe would refuse or ignore it.
    """
    now = traffic_split(service)
    if version == now.stable:
        raise refused(service, f"version {version} is the stable one already and cannot be its own canary")
    if now.canary not in {None, version}:
        raise refused(service, f"version {now.canary} is its canary: end that release first")
    expect_percent(service, percent, least)
    changed = _copy(service)
    if mode_of(service) == "Knative":
        _set_version(service, changed["spec"]["predictor"], version, storage_uri)
        changed["spec"]["predictor"][PERCENT] = percent
        changed["metadata"]["annotations"][STABLE] = now.stable
    else:
        existing = changed["spec"]["canary"][0]["predictor"] if now.canary else None
        canary = existing or _canary(service, version, storage_uri)
        changed["spec"]["canary"] = [{"trafficPercent": percent, "predictor": canary}]
    check(changed, least=least)
    return changed


def promoted(service: Object) -> dict[str, Any]:
    """The service with its canary as the stable version; unchanged if it has no canary.

    Raises:
        LooplineError: the object is refused by `check`.
    """
    now = traffic_split(service)
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
    now = traffic_split(service)
    changed = _copy(service)
    if now.canary and mode_of(service) == "Knative":
        changed["spec"]["predictor"][PERCENT] = 0
    elif now.canary:
        del changed["spec"]["canary"]
    return changed


def apply_action(service: Object, action: Action, record: Record, storage_uri: str = "") -> dict[str, Any]:
    """The service after a shift, promotion or rollback; unchanged if the action was applied before.

    Args:
        service: a complete InferenceService.
        action: to apply.
        record: of the release.
        storage_uri: of the canary's model repository, see `with_canary`.

    Raises:
        LooplineError: the object is refused by `check`, or serves other versions than the release is about.
    """
    now = traffic_split(service)
    before, after = {(record.stable, None), (record.stable, record.canary)}, (record.canary, None)
    expected = {"shift": before, "roll back": before, "promote": {(record.stable, record.canary), after}}
    if (now.stable, now.canary) not in expected[action.kind]:
        raise refused(
            service,
            f"it serves version {now.stable}{f' and {now.canary}' if now.canary else ''}, and the release is of "
            f"{record.canary} over {record.stable}: someone changed it by hand; change it back",
        )
    if action.kind == "shift":
        return with_canary(service, record.canary, action.percent, storage_uri)
    return promoted(service) if action.kind == "promote" else without_canary(service)


def storage_uri_of(service: Object, version: str) -> str:
    """The ``storageUri`` of a version: the stable's, with the version replaced in it.

    Raises:
        LooplineError: the stable's does not have its version as exactly one folder.
    """
    predictor = copy.deepcopy(dict(service["spec"]["predictor"]))
    _set_version(service, predictor, version)
    return str(predictor["model"]["storageUri"])


def pods(predictor: Object) -> dict[str, Any]:
    """The part of a predictor that its pods are made from: while it and the name stay the same, no pod restarts."""
    made = {key: value for key, value in predictor.items() if key not in {*SCALING, MIN_REPLICAS, PERCENT, "name"}}
    return {**made, "model": {"name": CONTAINER, **predictor["model"]}}


def _canary(service: Object, version: str, storage_uri: str) -> dict[str, Any]:
    """The stable predictor with another model, and the stable's minimum of pods."""
    predictor = {k: copy.deepcopy(v) for k, v in service["spec"]["predictor"].items() if k not in SCALING}
    _set_version(service, predictor, version, storage_uri)
    predictor["name"] = f"v{version}"
    predictor["model"].setdefault("name", CONTAINER)
    return predictor


def _set_version(service: Object, predictor: dict[str, Any], version: str, storage_uri: str = "") -> None:
    """Set the label and the storage URI of a predictor, in place."""
    uri, former = predictor["model"]["storageUri"], version_of(service, predictor)
    if former == version:
        return
    predictor["model"]["storageUri"] = storage_uri or _replace_version(service, uri, former, version)
    predictor["labels"][VERSION] = version


def _replace_version(service: Object, uri: str, former: str, version: str) -> str:
    parts = uri.split("/")
    if parts.count(former) != 1:
        raise refused(
            service, f"storageUri {uri} does not name version {former} as one folder, so that of another cannot be told"
        )
    return "/".join(version if part == former else part for part in parts)


def _copy(service: Object) -> dict[str, Any]:
    return copy.deepcopy(dict(service))

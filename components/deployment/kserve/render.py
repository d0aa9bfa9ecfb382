"""The InferenceService of an endpoint under release: the stable version, and beside it a canary with its share.

Pure functions from object to object, for both of KServe's modes:

- Standard: the canary is an entry of ``spec.canary`` with a predictor of its own name. Promotion is a rename: the
  stable predictor takes the canary's name and model, so KServe goes on with the Deployment that serves it already.
- Knative: the newest revision is the canary, and ``canaryTrafficPercent`` its share; KServe keeps the revision that had
  all traffic last. A canary that was rolled back stays there with no traffic: naming the former model again would make
  a new revision of it, and until that is ready Knative would send all traffic to the canary.

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

# The container that a predictor's model is served in. KServe names it so itself, and its schema demands it of a canary.
CONTAINER = "kserve-container"


def with_canary(service: Object, version: str, percent: int) -> dict[str, Any]:
    """The service with a canary beside its stable version; a canary that is there gets that share.

    Args:
        service: an InferenceService, complete.
        version: of the canary.
        percent: of the traffic, 1 to 99.

    Raises:
        LooplineError: the version is the stable one, another canary is there, or KServe would refuse or ignore it.
    """
    now = traffic_split(service)
    if version == now.stable:
        raise refused(service, f"version {version} is the stable one already and cannot be its own canary")
    if now.canary not in {None, version}:
        raise refused(service, f"version {now.canary} is its canary: end that release first")
    expect_percent(service, percent)
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


def apply_action(service: Object, action: Action, record: Record) -> dict[str, Any]:
    """The service after a shift, promotion or rollback; after one that was carried out already, as it is.

    Raises:
        LooplineError: the object is refused by `check`, or serves other versions than the release is of.
    """
    now = traffic_split(service)
    before, after = {(record.stable, None), (record.stable, record.canary)}, (record.canary, None)
    expected = {"shift": before, "roll back": before, "promote": {(record.stable, record.canary), after}}
    if (now.stable, now.canary) not in expected[action.kind]:
        raise refused(
            service,
            f"it serves version {now.stable}{f' and {now.canary}' if now.canary else ''}, and the release is of "
            f"{record.canary} over {record.stable}: somebody changed it by hand; put it back",
        )
    if action.kind == "shift":
        return with_canary(service, record.canary, action.percent)
    return promoted(service) if action.kind == "promote" else without_canary(service)


def storage_uri_of(service: Object, version: str) -> str:
    """The ``storageUri`` of a version: the stable's with that version's folder in it.

    Raises:
        LooplineError: the stable's does not name its version as one folder.
    """
    predictor = copy.deepcopy(dict(service["spec"]["predictor"]))
    _serve(service, predictor, version)
    return str(predictor["model"]["storageUri"])


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
    uri, former = predictor["model"]["storageUri"], version_of(service, predictor)
    if former == version:
        return
    parts = uri.split("/")
    if parts.count(former) != 1:
        raise refused(
            service, f"storageUri {uri} does not name version {former} as one folder, so that of another cannot be told"
        )
    parts[parts.index(former)] = version
    predictor["model"]["storageUri"] = "/".join(parts)
    predictor["labels"][VERSION] = version


def _copy(service: Object) -> dict[str, Any]:
    return copy.deepcopy(dict(service))

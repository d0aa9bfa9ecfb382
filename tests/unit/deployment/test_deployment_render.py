"""The InferenceService through releases, in both of KServe's modes."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.components.deployment.kserve import inference_service, render
from loopline.components.deployment.kserve.inference_service import MODE, PERCENT, SCALING, STABLE, VERSION
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.errors import LooplineError

MODES = ("Standard", "Knative")
versions = st.integers(1, 9999).map(str)
percents = st.integers(1, 100)


def service(mode="Standard", version="1", **predictor):
    own = {"name": f"v{version}"} if mode == "Standard" else {PERCENT: 100}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "flights", "namespace": "loopline", "annotations": {MODE: mode}},
        "spec": {
            "predictor": {
                **own,
                "labels": {VERSION: version, "app.kubernetes.io/name": "flights"},
                "model": {"storageUri": f"s3://models/flights/{version}/repository"},
                "minReplicas": 2,
                "maxReplicas": 8,
                "autoScaling": {"metrics": []},
                "containers": [{"name": "transformer-container", "image": "loopline-serving:0.1.0"}],
                **predictor,
            }
        },
    }


def canaries(*entries):
    """A service in Standard mode with these canaries: changes of their predictors, and shares."""
    made = service()
    predictor = {key: value for key, value in made["spec"]["predictor"].items() if key not in SCALING}
    made["spec"]["canary"] = [
        {
            "trafficPercent": percent,
            "predictor": {**copy.deepcopy(predictor), "name": f"v{2 + n}", "labels": {VERSION: str(2 + n)}, **changes},
        }
        for n, (changes, percent) in enumerate(entries)
    ]
    return made


@pytest.mark.parametrize("mode", MODES)
@given(stable=versions, canary=versions, steps=st.lists(percents, min_size=1, max_size=4))
def test_a_release_moves_the_share_and_ends_with_one_version(mode, stable, canary, steps):
    before = service(mode, stable)
    if canary == stable:
        with pytest.raises(LooplineError, match="is the stable one already"):
            render.with_canary(before, canary, steps[0])
        return
    now = before
    for percent in steps:
        now = render.with_canary(now, canary, percent)
        expected = TrafficSplit(stable, canary, percent)
        if mode == "Knative" and percent == 100:
            break
        assert inference_service.traffic_split(now) == expected
        assert render.with_canary(now, canary, percent) == now
    after, back = render.promoted(now), render.without_canary(now)
    assert inference_service.traffic_split(after).canary is None
    assert inference_service.traffic_split(back).canary is None
    if inference_service.traffic_split(now).canary:
        assert inference_service.traffic_split(after).stable == canary
        assert inference_service.traffic_split(back).stable == stable
    assert render.promoted(after) == after
    assert render.without_canary(back) == back


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_changed_in_place(mode):
    before = service(mode)
    kept = copy.deepcopy(before)
    canary = render.with_canary(before, "2", 5)
    assert before == kept
    kept = copy.deepcopy(canary)
    render.promoted(canary)
    render.without_canary(canary)
    assert canary == kept


@given(canary=versions.filter(lambda version: version != "1"), percent=percents)
def test_promotion_is_a_rename_no_pod_restarts(canary, percent):
    released = render.with_canary(service(), canary, percent)
    pods = render.pods(released["spec"]["canary"][0]["predictor"])
    after = render.promoted(released)["spec"]
    assert after["predictor"]["name"] == f"v{canary}" == released["spec"]["canary"][0]["predictor"]["name"]
    assert render.pods(after["predictor"]) == pods
    assert "canary" not in after
    assert after["predictor"]["maxReplicas"] == 8
    assert after["predictor"]["minReplicas"] == 2
    assert after["predictor"]["autoScaling"] == {"metrics": []}


def test_a_promotion_leaves_what_a_new_endpoint_of_that_version_would_be():
    assert render.promoted(render.with_canary(service(), "2", 50)) == service(version="2")
    knative = render.promoted(render.with_canary(service("Knative"), "2", 50))
    assert knative == service("Knative", "2")


def test_a_rollback_restores_the_service_and_in_knative_makes_no_revision():
    assert render.without_canary(render.with_canary(service(), "2", 50)) == service()
    released = render.with_canary(service("Knative"), "2", 50)
    back = render.without_canary(released)
    assert render.pods(back["spec"]["predictor"]) == render.pods(released["spec"]["predictor"])
    assert back["spec"]["predictor"][PERCENT] == 0


def test_after_a_rollback_in_knative_another_and_the_same_can_be_released():
    back = render.without_canary(render.with_canary(service("Knative"), "2", 50))
    assert inference_service.traffic_split(render.with_canary(back, "3", 5)) == TrafficSplit("1", "3", 5)
    again = render.with_canary(back, "2", 5)
    assert inference_service.traffic_split(again) == TrafficSplit("1", "2", 5)
    assert render.promoted(again) == service("Knative", "2")


def test_the_canary_takes_no_scaling_field_and_as_many_pods_as_the_stable_has_at_least():
    (canary,) = render.with_canary(service(scaleMetric="concurrency", scaleTarget=4), "2", 5)["spec"]["canary"]
    assert not set(SCALING) & set(canary["predictor"])
    assert canary["predictor"]["minReplicas"] == 2
    assert canary["predictor"]["model"]["storageUri"] == "s3://models/flights/2/repository"


REFUSED = {
    "no mode": (lambda s: s["metadata"].pop("annotations"), "is missing, and KServe would ignore a canary"),
    "raw mode": (lambda s: s["metadata"]["annotations"].update({MODE: "RawDeployment"}), "says 'RawDeployment'"),
    "knative field": (
        lambda s: s["spec"]["predictor"].update({PERCENT: 10}),
        "ignores canaryTrafficPercent",
    ),
    "no name": (lambda s: s["spec"]["predictor"].pop("name"), "has no name, and a promotion renames"),
    "no version": (lambda s: s["spec"]["predictor"]["labels"].pop(VERSION), "has no label loopline.dev/model-version"),
    "canary equal": (lambda s: s["spec"]["predictor"].update(name="v2"), "canary is equal to the stable"),
    "fewer pods": (lambda s: s["spec"]["predictor"].update(minReplicas=1), "2 is above the stable's, 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_kserve_would_refuse_or_ignore(case):
    change, message = REFUSED[case]
    bad = canaries(({}, 5))
    change(bad)
    with pytest.raises(LooplineError, match=message):
        inference_service.traffic_split(bad)


@pytest.mark.parametrize("field", SCALING)
def test_a_scaling_field_on_a_canary(field):
    with pytest.raises(LooplineError, match=f"cannot scale by itself: remove {field}"):
        inference_service.check(canaries(({field: 4}, 5)))


@given(shares=st.lists(percents, min_size=2, max_size=4))
def test_weights_together(shares):
    made = canaries(*(({}, share) for share in shares))
    if sum(shares) <= 100:
        inference_service.check(made)
    else:
        with pytest.raises(LooplineError, match=f"have {sum(shares)}% of the traffic together"):
            inference_service.check(made)


@pytest.mark.parametrize("percent", [0, -1, 101, 5.5, "5", True, None])
def test_a_share_that_is_none(percent):
    with pytest.raises(LooplineError, match="is no share of the traffic"):
        render.with_canary(service(), "2", percent)
    with pytest.raises(LooplineError, match="is no share of the traffic"):
        inference_service.check(canaries(({}, percent)))


def test_no_gateway():
    inference_service.check(service(), gateway_api=False)
    with pytest.raises(LooplineError, match="set enableGatewayApi to true"):
        inference_service.check(canaries(({}, 5)), gateway_api=False)


def test_named_canaries_in_knative_mode():
    bad = canaries(({}, 5))
    bad["metadata"]["annotations"][MODE] = "Knative"
    with pytest.raises(LooplineError, match=r"ignores spec\.canary in Knative mode"):
        inference_service.check(bad)


def test_a_share_in_knative_mode_without_the_stable():
    bad = service("Knative", **{PERCENT: 5})
    with pytest.raises(LooplineError, match=f"no annotation {STABLE} says beside what"):
        inference_service.traffic_split(bad)


def test_another_canary_is_there():
    with pytest.raises(LooplineError, match="version 2 is its canary: end that release first"):
        render.with_canary(render.with_canary(service(), "2", 5), "3", 5)
    with pytest.raises(LooplineError, match="it has 2 canaries, and a release is of one"):
        inference_service.traffic_split(canaries(({}, 5), ({}, 5)))


@pytest.mark.parametrize("uri", ["s3://models/flights/repository", "s3://1/flights/1/repository"])
def test_a_place_that_does_not_name_the_version(uri):
    with pytest.raises(LooplineError, match="does not name version 1 as one folder"):
        render.with_canary(service(model={"storageUri": uri}), "2", 5)

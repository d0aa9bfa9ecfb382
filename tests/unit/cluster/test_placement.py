"""Placement: what kfp-kubernetes itself would have compiled, for every stage, and nothing of it on a laptop."""

import copy

import pytest
from google.protobuf import json_format
from kfp import dsl, kubernetes

from loopline.cluster import placement, stage_pods
from loopline.compiler import pipeline_ir
from loopline.components.errors import LooplineError
from loopline.images import catalogue


@dsl.component(base_image="loopline-training", install_kfp_package=False)
def train(usecase: str) -> None:
    """Stand for the step of that name."""


@dsl.component(base_image="loopline-data", install_kfp_package=False)
def ingest(usecase: str) -> None:
    """Stand for the step of that name."""


def our_own(pipeline):
    return placement.placed(pipeline_ir.ir_of(pipeline))


@pytest.fixture(scope="module")
def by_kfp():
    """The same as we make it, said through kfp's and kfp-kubernetes' functions in the DAG."""
    stage = stage_pods.STAGES["training"]

    @dsl.pipeline(name="example")
    def example(usecase: str, gpus: str = "", node_selector: dict = {}, tolerations: list = []):  # noqa: B006
        task = train(usecase=usecase)
        task.set_cpu_request(stage.cpu[0]).set_cpu_limit(stage.cpu[1])
        task.set_memory_request(stage.memory[0]).set_memory_limit(stage.memory[1])
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
        task.set_retry(2, backoff_duration="30s", backoff_factor=2.0)
        task.set_caching_options(enable_caching=False)
        kubernetes.set_timeout(task, int(stage.timeout.total_seconds()))
        for key, value in placement.pod_labels("training").items():
            kubernetes.add_pod_label(task, key, value)
        kubernetes.set_security_context(task, run_as_user=65532, run_as_group=65532, run_as_non_root=True)
        for secret, keys in stage.secrets.items():
            kubernetes.use_secret_as_env(task, secret, keys)
        store = {key: key for key in stage_pods.OBJECT_STORE}
        kubernetes.use_config_map_as_env(task, "loopline-object-store", store)
        kubernetes.use_field_path_as_env(task, "LOOPLINE_RUN", "metadata.labels['pipeline/runid']")
        kubernetes.add_node_selector_json(task, node_selector)
        kubernetes.add_toleration_json(task, tolerations)

    return example


@pytest.fixture(scope="module")
def by_us():
    @dsl.pipeline(name="example")
    def example(usecase: str):
        train(usecase=usecase)

    return our_own(example)


def test_platform_configuration_is_that_of_kfp_kubernetes(by_kfp, by_us):
    assert by_us[1] == json_format.MessageToDict(by_kfp.platform_spec)


def test_the_pipeline_is_that_of_kfp(by_kfp, by_us):
    theirs, ours = copy.deepcopy(pipeline_ir.ir_of(by_kfp)), copy.deepcopy(by_us[0])
    task = theirs["root"]["dag"]["tasks"]["train"]
    assert task["inputs"]["parameters"].pop("accelerator_count")  # kfp leaves it there, and nothing reads it
    del task["retryPolicy"]["backoffMaxDuration"]  # kfp writes its default
    resources = theirs["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    for old in ("cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest"):  # for servers older than the strings
        del resources[old]
    del resources["accelerator"]["type"]
    for definition in ours["root"]["inputDefinitions"]["parameters"].values():
        definition.pop("description", None)
    assert ours == theirs


@pytest.mark.parametrize("name", pipeline_ir.PIPELINES)
def test_every_pod_has_bounds_labels_and_a_user(name):
    ir, platform = our_own(pipeline_ir.load(name))
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(pods) == set(ir["deploymentSpec"]["executors"])
    for label, pod in pods.items():
        resources = ir["deploymentSpec"]["executors"][label]["container"]["resources"]
        assert {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(
            resources
        )
        assert pod["podMetadata"]["labels"]["app.kubernetes.io/component"] in catalogue.STAGES
        assert pod["securityContext"] == {"runAsUser": "65532", "runAsGroup": "65532", "runAsNonRoot": True}
        assert int(pod["activeDeadlineSeconds"]) > 0


@pytest.mark.parametrize("name", pipeline_ir.PIPELINES)
def test_kfps_cache_is_off_on_a_cluster_and_a_laptop_keeps_its_own(name):
    ir = pipeline_ir.ir_of(pipeline_ir.load(name))
    assert _caching(ir) == {"True"}
    assert _caching(placement.placed(ir)[0]) == {"None"}


def _caching(ir):
    return {str(t["cachingOptions"].get("enableCache")) for t in placement._tasks(ir) if "cachingOptions" in t}


def test_the_ir_of_a_laptop_is_not_touched():
    pipeline = pipeline_ir.load("training")
    before = pipeline_ir.ir_of(pipeline)
    placement.placed(before)
    assert before == pipeline_ir.ir_of(pipeline)
    laptop = pipeline_ir.with_images(pipeline_ir.ir_of(pipeline), dict.fromkeys(catalogue.STAGES, "tag"))
    assert not set(placement.GPU_PARAMETERS) & set(laptop["root"]["inputDefinitions"]["parameters"])
    assert "resources" not in laptop["deploymentSpec"]["executors"]["exec-train"]["container"]


def test_only_what_talks_to_others_is_tried_again():
    ir, _ = our_own(pipeline_ir.load("retrain"))
    tried = {task["taskInfo"]["name"] for task in placement._tasks(ir) if "retryPolicy" in task}
    assert tried == {"ingest", "train", "fetch-model", "register", "promote"}


def test_secrets_go_to_those_who_need_them():
    _, platform = our_own(pipeline_ir.load("training"))
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    held = {label: {secret["secretName"] for secret in pod.get("secretAsEnv", [])} for label, pod in pods.items()}
    assert held["exec-evaluate"] == set()
    assert held["exec-register"] == {"loopline-mlflow"}
    assert held["exec-train"] == {"loopline-s3", "loopline-mlflow"}


def test_an_image_that_nothing_is_said_about():
    @dsl.component(base_image="loopline-unknown", install_kfp_package=False)
    def strange() -> None:
        """Belong to no stage."""

    @dsl.pipeline(name="example")
    def example():
        strange()

    with pytest.raises(LooplineError, match="nothing says what the pods of image loopline-unknown are given"):
        our_own(example)


@pytest.mark.parametrize(
    ("image", "stage"),
    [
        ("loopline-data", "data"),
        ("loopline-data:0.1.0", "data"),
        ("localhost:5000/a/loopline-training-cuda@sha256:ab", "training"),
        ("loopline-pipelines:1", ""),
        ("other/data:1", ""),
    ],
)
def test_stage_of_an_image(image, stage):
    assert catalogue.stage_of(image) == stage


def test_training_in_a_nested_pipeline_cannot_be_placed():
    @dsl.pipeline(name="inner")
    def inner(usecase: str):
        train(usecase=usecase)

    @dsl.pipeline(name="outer")
    def outer(usecase: str):
        inner(usecase=usecase)

    with pytest.raises(LooplineError, match="train stands in a nested pipeline"):
        our_own(outer)

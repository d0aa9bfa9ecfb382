"""Schedules as CronWorkflows: what usecase.yaml says, a small restricted pod, and names that kustomize can change."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from loopline import project
from loopline.cluster import names, objects, schedules
from loopline.compiler import pipeline_ir, scheduling
from loopline.components.contract.schedule import Schedule, Schedules, Timetable
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.images import catalogue

MANIFESTS = project.ROOT / "manifests" / "usecases" / "flights"
VERSIONS = {name: f"flights-{name.replace('_', '-')}-0123456789ab" for name in pipeline_ir.PIPELINES}
KUBECTL = shutil.which("kubectl", path=str(project.ROOT / ".venv" / "bin")) or shutil.which("kubectl")


@pytest.fixture
def workflows(case):
    return {w["metadata"]["name"]: w for w in schedules.cron_workflows(case, VERSIONS, "0.1.0")}


def test_what_the_use_case_says(workflows, case):
    assert set(workflows) == {"flights-batch-inference", "flights-materialisation", "flights-retrain"}
    spec = workflows["flights-retrain"]["spec"]
    assert spec["schedules"] == [case.spec.schedule.retrain.cron]
    assert spec["timezone"] == "America/New_York"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 6 * 3600
    assert spec["suspend"] is True
    assert "schedule" not in spec  # Argo 4 knows the list only


def test_a_scheduled_run_is_a_submission_at_its_moment(workflows):
    spec = workflows["flights-batch-inference"]["spec"]["workflowSpec"]
    (template,) = spec["templates"]
    assert spec["entrypoint"] == template["name"]
    assert [*template["container"]["command"], *template["container"]["args"]] == [
        *("loopline", "submit", "batch-inference", "--usecase", "loopline.usecases.flights"),
        *("--version", "{{workflow.parameters.version}}", "--at", "{{workflow.scheduledTime}}", "--follow"),
    ]
    assert spec["arguments"]["parameters"] == [{"name": "version", "value": VERSIONS["batch_inference"]}]


def test_a_use_case_without_schedules_has_none(case):
    silent = UseCase(case.package, case.folder, case.spec.model_copy(update={"schedule": Schedules()}))
    assert schedules.cron_workflows(silent, VERSIONS, "0.1.0") == []


def test_suspension_and_limits_are_handed_on(case):
    daily = Schedule(cron="5 4 * * *", window=("-1d", "0d"), keep_succeeded=0, keep_failed=9)
    other = UseCase(
        case.package, case.folder, case.spec.model_copy(update={"schedule": Schedules(materialisation=daily)})
    )
    (workflow,) = schedules.cron_workflows(other, VERSIONS, "0.1.0")
    assert workflow["spec"]["suspend"] is False
    assert workflow["spec"]["successfulJobsHistoryLimit"] == 0
    assert workflow["spec"]["failedJobsHistoryLimit"] == 9


def test_a_release_has_a_time_and_no_window(case):
    nightly = Schedules(release=Timetable(cron="0 7 * * *"))
    other = UseCase(case.package, case.folder, case.spec.model_copy(update={"schedule": nightly}))
    (workflow,) = schedules.cron_workflows(other, VERSIONS, "0.1.0")
    assert workflow["metadata"]["name"] == "flights-release"
    assert scheduling.window("release", other, datetime(2013, 6, 1, tzinfo=UTC)) == {}
    with pytest.raises(ValueError, match="window"):
        Schedules.model_validate({"release": {"cron": "0 7 * * *", "window": ["-1d", "0d"]}})


def custom(case, **schedule):
    given = Schedules.model_validate({"custom": {"sharded_batch": {"cron": "0 6 * * mon", **schedule}}})
    return UseCase(case.package, case.folder, case.spec.model_copy(update={"schedule": given}))


def test_a_dag_of_ones_own_is_scheduled_by_name(case):
    weekly = custom(case, window=["-7d", "0d"])
    (workflow,) = schedules.cron_workflows(weekly, VERSIONS, "0.1.0")
    assert workflow["metadata"]["name"] == "flights-sharded-batch"
    at = datetime(2013, 6, 10, 12, tzinfo=UTC)
    assert scheduling.window("sharded-batch", weekly, at) == {"start": "2013-06-03", "end": "2013-06-10"}


def test_a_custom_schedule_that_does_not_fit_its_dag_is_refused(case):
    with pytest.raises(LooplineError, match=r"schedule\.custom\.sharded_batch needs a window, because"):
        schedules.cron_workflows(custom(case), VERSIONS, "0.1.0")
    unknown = Schedules.model_validate({"custom": {"weekly": {"cron": "0 6 * * mon"}}})
    other = UseCase(case.package, case.folder, case.spec.model_copy(update={"schedule": unknown}))
    with pytest.raises(LooplineError, match="there is no pipeline 'weekly'"):
        schedules.cron_workflows(other, VERSIONS, "0.1.0")
    with pytest.raises(ValueError, match="its begin does not come before its end"):
        custom(case, window=["0d", "-7d"])


def test_a_name_that_argo_would_refuse(case):
    long = UseCase(case.package, case.folder, case.spec.model_copy(update={"name": "a" * 40}))
    with pytest.raises(
        LooplineError, match=r"has|would have .* characters and Argo takes 52; give .*usecase\.yaml a shorter"
    ):
        schedules.cron_workflows(long, VERSIONS, "0.1.0")


def test_two_use_cases_of_one_name(tmp_path, monkeypatch):
    for name in ("first_copy", "second_copy"):
        shutil.copytree(project.ROOT / "usecases" / "flights", tmp_path / name)
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LooplineError, match="more than one use case is named flights"):
        objects.chosen_usecases(tmp_path / "usecases", ["first_copy", "second_copy"])
    assert [case.package for case in objects.chosen_usecases(tmp_path / "usecases", ["first_copy"])] == ["first_copy"]


def test_names_that_kubernetes_would_refuse(case):
    def named(name):
        return UseCase(case.package, case.folder, case.spec.model_copy(update={"name": name}))

    assert names.pipeline_name(named("late_flights"), "batch_inference") == "late-flights-batch-inference"
    with pytest.raises(LooplineError, match=r"pipeline version a{26}-.* have 64 characters and Kubernetes takes 63"):
        names.pipeline_name(named("a" * 26), "batch-inference")
    with pytest.raises(LooplineError, match="late_ cannot name objects in Kubernetes; rename it in "):
        names.pipeline_name(named("late_"), "training")
    with pytest.raises(LooplineError, match="there is no pipeline 'trainig'"):
        names.schedule_name(case, "trainig")


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl on the PATH or in .venv")
def test_an_overlay_reaches_every_image_name_and_version(tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "flights")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    images = [f"loopline-{name}" for name in (*catalogue.STAGES, "serving", "pipelines")]
    suffix = {
        "apiVersion": "builtin",
        "kind": "PrefixSuffixTransformer",
        "metadata": {"name": "images"},
        "suffix": "-12345678",
        "fieldSpecs": [{"kind": "PipelineVersion", "path": "metadata/name"}],
    }
    patch = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": "flights-retrain", "namespace": "loopline"},
        "spec": {"schedules": ["0 1 * * *"], "suspend": False},
    }
    kustomization = {
        "resources": ["../flights"],
        "images": [{"name": name, "newName": f"r.example/{name}", "newTag": "t"} for name in images],
        "transformers": [yaml.safe_dump(suffix)],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([KUBECTL, "kustomize", str(overlay)], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(done.stdout))
    versions = {d["metadata"]["name"] for d in found if d["kind"] == "PipelineVersion"}
    assert len(versions) == len(list((MANIFESTS / "pipelines").glob("*.yaml")))
    assert all(name.endswith("-12345678") for name in versions)
    workflows = {d["metadata"]["name"]: d["spec"] for d in found if d["kind"] == "CronWorkflow"}
    for spec in workflows.values():
        assert spec["workflowSpec"]["arguments"]["parameters"][0]["value"] in versions
    assert workflows["flights-retrain"]["schedules"] == ["0 1 * * *"]
    assert workflows["flights-retrain"]["suspend"] is False
    named = [line.split("image: ")[1] for line in done.stdout.splitlines() if " image: " in line]
    assert len(named) > 20
    assert all(image.startswith("r.example/loopline-") and image.endswith(":t") for image in named)


def test_the_files_are_plain_text_a_person_can_review():
    for path in MANIFESTS.rglob("*.yaml"):
        assert "!!" not in Path(path).read_text()

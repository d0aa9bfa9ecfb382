"""The step that predicts on Spark: it starts or finds its application, waits, and brings the result or the reason."""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_spark_operator import FakeSparkOperator
from tram_examples import FIRST, Inputs, moments, trips

from loopline.components.contract.cluster_job import deadline_of
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError
from loopline.components.inference import spark_application, spark_engine
from loopline.components.inference.artifact import Artifact
from loopline.components.inference.engine import predict_with
from loopline.components.inference.kubernetes_api import SPARK_APPLICATIONS
from loopline.components.inference.predict import predict
from loopline.components.inference.spark_application import ARGUMENTS, failure_uri
from loopline.components.inference.spark_engine import predict_on_spark
from loopline.components.io import storage
from tests.loopback_server import Request, kubeconfig

TEMPLATE = Path(__file__).parents[3] / "manifests" / "batch" / "spark-application.yaml"


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[FakeSparkOperator]:
    """The Spark operator of a cluster with the template that is in Git."""
    fake = FakeSparkOperator(yaml.safe_load(TEMPLATE.read_text()))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(fake, tmp_path / "kubeconfig")))
    monkeypatch.setenv("LOOPLINE_BUCKET", bucket.removeprefix("s3://"))
    yield fake
    fake.close()


@pytest.fixture
def step(usecase: str, echo: Model, inputs: Inputs, bucket: str, tmp_path: Path) -> Callable[..., Dataset]:
    """The step on some examples, whose artifacts KFP has put into the object store."""
    paths = inputs(trips([0.5, None, 0.25], moments(FIRST, 3, timedelta(hours=1))))
    given = {"model": echo.path, "examples": paths["examples_path"], "quarantine": paths["quarantine_path"]}
    artifacts = {}
    for name, path in given.items():
        storage.put(path, f"{bucket}/artifacts/{name}")
        artifacts[name] = Artifact(f"{bucket}/artifacts/{name}", path)

    def run(**changes: Any) -> Dataset:
        return predict_on_spark(
            usecase, "7", **(artifacts | changes), predictions_path=tmp_path / "predictions", poll_seconds=0.01
        )

    return run


def arguments(application: dict[str, Any]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ARGUMENTS:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args(application["spec"]["arguments"])


def says(found: dict[str, Any], state: str, message: str = "") -> None:
    found["status"] = {"applicationState": {"state": state, "errorMessage": message}}


def works(tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """An operator whose job predicts, after having been seen submitted and running."""
    looks: list[str] = []

    def look(found: dict[str, Any]) -> None:
        looks.append("")
        if len(looks) <= 2:
            says(found, ("SUBMITTED", "RUNNING")[len(looks) - 1])
            return
        given = arguments(found)
        local = {
            name: storage.fetch(getattr(given, name), tmp_path / "node") for name in ("model", "examples", "quarantine")
        }
        made = tmp_path / "node" / "made"
        predict(given.usecase, local["model"], given.version, local["examples"], local["quarantine"], made)
        storage.put(made, given.output)
        says(found, "COMPLETED")

    return look


def test_it_starts_the_template_with_arguments_and_brings_the_result(
    operator: FakeSparkOperator, step: Callable[..., Dataset], bucket: str, usecase: str, tmp_path: Path
) -> None:
    operator.operator = works(tmp_path)
    predicted = step()
    assert (predicted.facts["rows_in"], predicted.facts["rows_out"]) == (3, 2)
    (created,) = operator.created
    template = operator.objects["loopline-batch"]
    changed = {name for name, value in created["spec"].items() if value != template["spec"].get(name)}
    assert changed == {"suspend", "arguments"}
    assert created["spec"]["suspend"] is False
    given = vars(arguments(created))
    name = created["metadata"]["name"]
    assert name.startswith("batch-trams-")
    assert len(name) <= 40
    assert given == {
        "usecase": usecase,
        "version": "7",
        "output": f"{bucket}/spark/{name}",
        **{kind: f"{bucket}/artifacts/{kind}" for kind in ("model", "examples", "quarantine")},
    }


def test_a_step_that_is_tried_again_finds_what_it_has_started(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path
) -> None:
    def kill(found: dict[str, Any]) -> None:
        raise_in_step.append(found)
        says(found, "RUNNING")

    raise_in_step: list[Any] = []
    operator.operator = kill
    with pytest.MonkeyPatch.context() as patch:

        def interrupted(seconds: float) -> None:
            raise KeyboardInterrupt

        patch.setattr(spark_engine.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step()
    operator.operator = works(tmp_path)
    first = step()
    assert step().digest == first.digest  # complete: neither started nor awaited
    assert len(operator.created) == 1


def test_one_that_failed_before_is_started_anew(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path
) -> None:
    operator.operator = lambda found: says(found, "FAILED", "driver container failed with ExitCode: 1")
    with pytest.raises(LooplineError, match=r"SparkApplication batch-trams-\w+ failed: driver container failed with"):
        step()
    operator.operator = works(tmp_path)
    assert step().facts["rows_out"] == 2
    assert len(operator.created) == 2


def test_a_result_that_somebody_deleted_is_made_again(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path
) -> None:
    operator.operator = works(tmp_path)
    step()
    storage.remove(arguments(operator.created[0]).output)
    assert step().facts["rows_out"] == 2
    assert len(operator.created) == 2


def test_the_sentence_of_the_job_is_the_reason(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path
) -> None:
    def fail(found: dict[str, Any]) -> None:
        (tmp_path / "note").write_text("the model does not fit the examples")
        storage.put(tmp_path / "note", failure_uri(arguments(found).output))
        says(found, "FAILED", "driver container failed with ExitCode: 1")

    operator.operator = fail
    with pytest.raises(LooplineError, match=r"failed: the model does not fit the examples$"):
        step()


def test_waiting_is_bounded_and_ends_the_job(operator: FakeSparkOperator, step: Callable[..., Dataset]) -> None:
    operator.objects["loopline-batch"]["metadata"]["annotations"]["loopline.dev/deadline"] = "0.3s"
    operator.operator = lambda found: says(found, "RUNNING")
    with pytest.raises(LooplineError, match=r"was not done after 0:00:00.300000 \(RUNNING\) and was deleted"):
        step()
    assert list(operator.objects) == ["loopline-batch"]


def test_one_that_is_deleted_while_it_runs_is_one_sentence(
    operator: FakeSparkOperator, step: Callable[..., Dataset]
) -> None:
    operator.operator = lambda found: operator.objects.pop(found["metadata"]["name"]) and None
    with pytest.raises(LooplineError, match="was deleted while it ran"):
        step()


def test_an_api_that_is_away_for_a_moment_is_waited_for(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path
) -> None:
    look = works(tmp_path)

    def restarting(found: dict[str, Any]) -> None:
        if not operator.refusals.get("GET"):
            look(found)

    operator.operator = restarting
    create = operator.answer

    def answer(request: Request) -> tuple[int, dict[str, Any]]:
        if request.method == "POST":
            operator.refusals["GET"] = [(503, "starting"), (429, "too many requests")]
        return create(request)

    operator.answer = answer  # type: ignore[method-assign]
    assert step().facts["rows_out"] == 2


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "does not accept our token (401)"),
        (
            403,
            "may not get sparkapplications in namespace loopline: it needs Role loopline-batches",
        ),
        (404, "has no sparkapplications: install the Spark operator"),
        (422, "refuses to get sparkapplications in namespace loopline: because"),
        (500, "cannot answer now: 500 because"),
    ],
)
def test_a_refusal_is_one_sentence(
    operator: FakeSparkOperator, step: Callable[..., Dataset], status: int, sentence: str
) -> None:
    operator.refusals["GET"] = [(status, "because")]
    with pytest.raises(LooplineError, match=re.escape(sentence)):
        step()
    assert operator.created == []


def test_what_is_missing_is_found_before_anything_is_started(
    operator: FakeSparkOperator, step: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(**changes: Any) -> str:
        with pytest.raises(LooplineError) as error:
            step(**changes)
        assert operator.created == []
        return str(error.value)

    assert "the model is at /here: let KFP keep artifacts under s3://" in refusal(model=Artifact("/here", "/here"))
    del operator.objects["loopline-batch"]["metadata"]["annotations"]
    assert "annotate it with a duration, for example 5h" in refusal()
    operator.objects.clear()
    assert "there is no SparkApplication loopline-batch in namespace loopline" in refusal()
    operator.close()
    assert "cannot be reached; check the network" in refusal()
    monkeypatch.delenv("LOOPLINE_BUCKET")
    assert "LOOPLINE_BUCKET is not set" in refusal()


def test_without_a_cluster_it_says_so(
    step: Callable[..., Dataset], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPLINE_BUCKET", bucket.removeprefix("s3://"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LooplineError, match="this is not a pod and has no kubeconfig; use engine local"):
        step()


def test_an_engine_that_is_none(tmp_path: Path) -> None:
    nothing = Artifact("", "")
    with pytest.raises(LooplineError, match="there is no engine 'flink'; there are local, spark"):
        predict_with("flink", "loopline.usecases.flights", "1", nothing, nothing, nothing, tmp_path)


def test_the_template_is_what_the_step_expects() -> None:
    template = yaml.safe_load(TEMPLATE.read_text())
    assert template["metadata"]["name"] == spark_application.TEMPLATE
    assert template["spec"]["suspend"] is True
    assert deadline_of(template) == timedelta(hours=5)
    assert template["apiVersion"] == f"{SPARK_APPLICATIONS.group}/{SPARK_APPLICATIONS.version}"
    assert json.dumps(template["spec"]).count("secretKeyRef") == 4

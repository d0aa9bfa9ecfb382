"""Following a run on a KFP server: each step once, its end as exit code, and why a step failed."""

import io
from datetime import UTC, datetime, timedelta

import kfp_server_api as kfp_api
import pytest
from rich.console import Console

from loopline.cli import submitting
from loopline.cluster import progress
from loopline.cluster.kfp_client import KfpClient
from loopline.cluster.kfp_errors import UnavailableError
from loopline.components.errors import LooplineError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def task(name, state="SUCCEEDED", parent="", seconds=3, error="", pod=""):
    """A task as KFP lists it: its id is its name here."""
    return kfp_api.V2beta1PipelineTaskDetail(
        task_id=f"{parent}/{name}",
        display_name=name,
        state=state,
        start_time=BEGIN,
        end_time=BEGIN + timedelta(seconds=seconds) if state in progress.ENDED else None,
        parent_task_id=parent or None,
        error=kfp_api.GoogleRpcStatus(message=error) if error else None,
        child_tasks=[kfp_api.PipelineTaskDetailChildTask(pod_name=pod)] if pod else None,
    )


def details(*tasks):
    """The details of a run, with what KFP lists beside its steps."""
    return kfp_api.V2beta1RunDetails(task_details=[task("root", "RUNNING"), task("root-driver"), *tasks])


def nested(state="SUCCEEDED"):
    return [
        task("training-examples", state, "/root"),
        task("training-examples-driver", "SUCCEEDED", "/root"),
        task("ingest", state, "/root/training-examples"),
        task("ingest-driver", "SUCCEEDED", "/root/training-examples"),
        task("executor", state, "/root/training-examples/ingest"),
    ]


@pytest.fixture
def followed(kfp, cluster, monkeypatch):
    """Follow a run through some states; returns what was printed."""
    monkeypatch.setattr(submitting, "POLL", 0.0)
    run = kfp_api.V2beta1Run(run_id="r1", display_name="training-flights-x", state="PENDING")
    kfp.runs.append(run)

    def through(*states):
        kfp.states = list(states)
        output = io.StringIO()
        try:
            submitting._follow(KfpClient(cluster), "r1", Console(file=output, width=140))
        finally:
            through.output = output.getvalue()
        return through.output

    return through


def test_every_step_once_and_its_name_in_the_dag(followed):
    output = followed(
        ("RUNNING", None),
        ("RUNNING", details(*nested("RUNNING"))),
        ("RUNNING", details(*nested(), task("train", "RUNNING", "/root"))),
        ("SUCCEEDED", details(*nested(), task("train", "SUCCEEDED", "/root", 65))),
    )
    assert output.count("✓ training-examples/ingest") == 1
    assert "✓ train " in output
    assert "65 s" in output
    assert "driver" not in output
    assert "executor" not in output
    assert "run r1 (training-flights-x): succeeded" in output


def test_a_failed_step_says_why_and_where_its_log_is(followed):
    failed = [
        task("train", "FAILED", "/root"),
        task("executor", "FAILED", "/root/train", error="This step is in Failed state: OOMKilled", pod="training-x-42"),
    ]
    with pytest.raises(
        LooplineError, match=r"run r1: step train failed: .*OOMKilled; its log: kubectl logs training-x-42"
    ):
        followed(("FAILED", details(*failed)))
    assert "✗ train" in followed.output


def test_a_run_that_failed_before_its_first_step(kfp, followed):
    kfp.runs[0].error = kfp_api.GoogleRpcStatus(message="quota exceeded")
    with pytest.raises(LooplineError, match="run r1: quota exceeded"):
        followed(("FAILED", None))


def test_a_cancelled_run_is_no_success(followed):
    with pytest.raises(LooplineError, match="run r1: it ended canceled and no step says why"):
        followed(("CANCELED", None))


def test_a_server_that_is_away_for_a_while_is_waited_for(kfp, followed):
    kfp.failures = [503, 502, 500]
    assert "succeeded" in followed(("SUCCEEDED", None))


def test_but_not_for_ever(kfp, followed, monkeypatch):
    monkeypatch.setattr(submitting, "AWAY_SECONDS", 0.0)
    kfp.failures = [503] * 9
    with pytest.raises(UnavailableError, match="answered 503"):
        followed(("SUCCEEDED", None))


def test_no_such_run(kfp, cluster):
    with pytest.raises(LooplineError, match="has no run 'r2'"):
        submitting._follow(KfpClient(cluster), "r2", Console(file=io.StringIO()))


def test_a_skipped_branch_is_shown_as_such(followed):
    output = followed(
        ("SUCCEEDED", details(task("condition-1", "SKIPPED", "/root"), task("promote", "SKIPPED", "/root/condition-1")))
    )
    assert "- promote" in output

"""Parity: a pipeline in its images leaves byte for byte what it leaves in this environment.

What differs between any two runs, also of the same kind, is listed with the reason, and compared without it.
"""

import json
import re
from pathlib import Path

import pytest

from loopline.components.io import digest
from tests.containers.conftest import WINDOWS, loopline

MEASURED = re.compile(r"latency|rows_per_second")


def plain_bytes(path: Path) -> object:
    return digest.of_tree(path)


def without_tracking_run(path: Path) -> object:
    """The model's parts; the id of the MLflow run that tracked its training is drawn at random."""
    parts: dict[str, object] = dict(digest.of_files(path))
    for name in ("network.json", "model.json"):
        if name in parts:
            parts[name] = re.sub(r'"tracking_run": "[0-9a-f]{32}"', "", (path / name).read_text())
    return parts


def without_speed(path: Path) -> object:
    """What was not measured with a clock."""
    footprint = json.loads(path.read_text())
    figures = {name: value for name, value in footprint["metrics"].items() if not MEASURED.search(name)}
    return {**footprint, "metrics": figures}


def without_rows_of_speed(path: Path) -> object:
    """A page that shows the speed in a table among others."""
    return re.sub(r"(Latency|Rows per second)[^<]*</th><td[^>]*>[^<]*", "", path.read_text())


def without_place(path: Path) -> object:
    """A receipt says where something was published: another home, another place."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "path"}


REST = {
    ("train", "weights"): without_tracking_run,
    ("package", "model"): without_tracking_run,
    ("fetch-model", "model"): without_tracking_run,
    ("evaluate", "footprint"): without_speed,
    ("evaluate", "report"): without_rows_of_speed,
    ("publish", "receipt"): without_place,
}


def test_every_output_has_the_same_content(in_containers, in_processes):
    ours, theirs = in_processes.steps(), in_containers.steps()
    assert set(ours) == set(theirs)
    compared = 0
    for (pipeline, name), step in theirs.items():
        assert step["state"] == "succeeded", (pipeline, name)
        assert step["values"] == ours[pipeline, name]["values"]
        for output, made in step["outputs"].items():
            content = REST.get((name, output), plain_bytes)
            here, there = Path(ours[pipeline, name]["outputs"][output]["uri"]), Path(made["uri"])
            assert content(there) == content(here), f"{pipeline}: {output} of {name} differs"
            compared += 1
            print(f"{pipeline:16} {name:35} {output:15} {made['metadata'].get('digest', made['digest'])}")
    assert compared >= 25


def test_the_digest_of_the_model_and_of_the_predictions_is_the_same(in_containers, in_processes):
    for step, output in ((("training", "package"), "model"), (("batch-inference", "predict"), "predictions")):
        digests = {
            home.steps()[step]["outputs"][output]["metadata"]["digest"] for home in (in_containers, in_processes)
        }
        assert len(digests) == 1


def test_metrics_are_the_same_but_for_speed(in_containers, in_processes):
    ours = in_processes.steps()
    for key, step in in_containers.steps().items():
        for output, made in step["outputs"].items():
            theirs, here = made["metadata"], ours[key]["outputs"][output]["metadata"]
            names = {n for n in theirs if not MEASURED.search(n)} - ({"digest"} if (key[1], output) in REST else set())
            assert {n: theirs[n] for n in names} == {n: here[n] for n in names}


def test_published_predictions_are_the_same(in_containers, in_processes):
    published = [home.root / "predictions" / "flights" / "current" for home in (in_containers, in_processes)]
    rows = [
        {name: value for name, value in digest.of_files(folder.resolve()).items() if name.endswith(".parquet")}
        for folder in published
    ]
    assert rows[0] == rows[1]
    assert rows[0]


def test_logs_and_times_are_kept(in_containers):
    (file,) = (in_containers.root / "runs").glob("batch-inference-*/run.json")
    for step in json.loads(file.read_text())["steps"]:
        log = file.parent / "logs" / f"{step['name'].replace('/', '.')}.log"
        assert log.stat().st_size > 0
        assert step["seconds"] > 0


@pytest.mark.parametrize(("options", "state"), [(["--containers"], "cached"), ([], "succeeded")])
def test_containers_have_a_cache_of_their_own(in_containers, options, state):
    parameters = [word for pair in WINDOWS["training"] for word in ("--param", pair)]
    loopline("run", "training", *parameters, *options, home=in_containers.root)
    *_, latest = sorted((in_containers.root / "runs").glob("training-*/run.json"))
    assert {step["state"] for step in json.loads(latest.read_text())["steps"]} == {state}


def test_a_failure_is_told_in_the_same_sentence(built, tmp_path):
    parameters = ["--param", "version=7", "--param", "start=2013-01-22", "--param", "end=2013-01-23"]
    said = {}
    for options in ((), ("--containers",)):
        home = tmp_path / "home"  # the same path, which is in the sentence
        told = loopline("run", "batch_inference", *parameters, *options, home=home, expect=1)
        said[options] = re.sub(r" \(logs in .*", "", told)
        home.rename(tmp_path / f"home-{len(said)}")
    assert said[()] == said["--containers",]
    assert said[()].startswith("error: fetch-model: ")

"""Releases by commits, in a real bare repository: one file, races, dirty and diverged clones, kills."""

import subprocess

import pytest
import yaml

from loopline.components.deployment.kserve import inference_service, render
from loopline.components.deployment.kserve.endpoint_file import GENERATION
from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.target import StaleActionError
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.targets import git_clone, git_command
from loopline.components.deployment.targets.git import RECORDS, GitTarget
from loopline.components.deployment.targets.git_clone import ATTEMPTS, Clone
from loopline.components.errors import LooplineError
from tests.manifests.render import clean_copy, kubectl
from tests.unit.deployment.simulated_world import SPEC, Killed, World
from tests.unit.deployment.test_deployment_render import service

FILE = "kustomize/overlays/prod/flights/endpoint.yaml"
pytestmark = pytest.mark.skipif(kubectl() is None, reason="there is no kubectl; `make setup` installs one from PyPI")


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A bare repository with a small overlay, its endpoint at version 7."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Releaser")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "controller@example.org")
    bare = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    work = clone_of(bare, tmp_path / "first")
    overlay = work / "kustomize/overlays/prod"
    overlay.mkdir(parents=True)
    (overlay / "service.yaml").write_text(yaml.safe_dump(service(version="7")))
    (overlay / "kustomization.yaml").write_text("resources: [service.yaml]\npatches: [{path: flights/endpoint.yaml}]\n")
    (overlay / "flights").mkdir()
    (overlay / "flights/endpoint.yaml").write_text(
        "# Which version answers.\n"
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        "metadata: {name: flights, namespace: loopline}\nspec: {predictor: {name: v7}}\n"
    )
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "The overlay")
    git(work, "push", "--quiet", "origin", "main")
    return bare


def clone_of(bare, path):
    git(bare.parent, "clone", "--quiet", str(bare), str(path))
    return path


@pytest.fixture
def clone(remote, tmp_path):
    return clone_of(remote, tmp_path / "clone")


@pytest.fixture
def target(clone):
    return GitTarget(clone, "prod", "flights")


class GitWorld(World):
    """The world, whose endpoint is what the main branch says."""

    def __init__(self, target, dies_at=None):
        super().__init__(dies_at=dies_at)
        self.git = target

    def record(self):
        return self.git.record()

    def store(self, record):
        self.effect(lambda: self.git.store(record))

    def apply(self, action, record):
        def change():
            self.git.apply(action, record)
            self.split = self.git.traffic_split()

        self.effect(change)

    def traffic_split(self):
        return self.git.traffic_split()


def released(world):
    controller = world.controller()
    controller.begin("8")
    return controller.reconcile()


def test_each_change_is_one_commit_to_one_file(target, clone, remote):
    assert released(GitWorld(target)).outcome == "promoted"
    assert target.traffic_split() == TrafficSplit("8")
    subjects = git(remote, "log", "--format=%s", "--reverse", "main").splitlines()
    assert subjects[1:] == [
        "20% of flights's traffic for version 8",
        "50% of flights's traffic for version 8",
        "Promote version 8 of flights",
    ]
    for commit in git(remote, "rev-list", "main", "--not", "main~3").splitlines():
        assert git(remote, "show", "--format=", "--name-only", commit) == FILE
    assert git(remote, "log", "-1", "--format=%b", "main") == target.record().reason != ""
    assert (clone / FILE).read_text().startswith("# Which version answers.\n")
    assert git(clone, "status", "--porcelain") == ""
    assert target.record().outcome == "promoted"


def test_a_rollback_puts_the_file_back(target, clone):
    world = GitWorld(target)
    world.failing = "it crashed"
    before = yaml.safe_load((clone / FILE).read_text())
    assert released(world).outcome == "rolled back"
    assert target.traffic_split() == TrafficSplit("7")
    after = yaml.safe_load((clone / FILE).read_text())
    assert "canary" not in after["spec"]
    assert after["spec"]["predictor"]["name"] == before["spec"]["predictor"]["name"]


@pytest.mark.parametrize("at", [1.5, 2, 4, 8, 9])
def test_killed_between_commits_it_is_gone_on_with(target, remote, at):
    world = GitWorld(target, dies_at=at)
    with pytest.raises(Killed):
        released(world)
    assert released(world).outcome == "promoted"
    assert git(remote, "rev-list", "--count", "main") == "4", "no change is committed twice"


def test_a_push_that_comes_second_is_made_anew(target, remote, tmp_path, monkeypatch):
    """Somebody pushes between our fetch and our push, several times."""
    other = clone_of(remote, tmp_path / "other")
    sends, send = [], Clone._send

    def disturbed(self, commit, branch):
        if len(sends) < 3:
            (other / "README").write_text(str(len(sends)))
            git(other, "add", ".")
            git(other, "commit", "--quiet", "-m", "Something else")
            git(other, "push", "--quiet", "origin", "main")
        sends.append(commit)
        send(self, commit, branch)

    record = begun(target)
    monkeypatch.setattr(Clone, "_send", disturbed)
    target.apply(transitions.next_action(record), record)
    assert len(sends) == 4
    assert target.traffic_split() == TrafficSplit("7", "8", 20)
    assert git(remote, "log", "--format=%s", "main").splitlines().count("Something else") == 3, "nothing is lost"


def test_others_who_push_all_the_time(target, monkeypatch):
    record = begun(target)
    sends = []
    monkeypatch.setattr(Clone, "git", _refusing_push(Clone.git, sends))
    with pytest.raises(LooplineError, match="had a newer push each time; release again to continue"):
        target.apply(transitions.next_action(record), record)
    assert len(sends) == ATTEMPTS


def _refusing_push(git_of, sends):
    def refusing(self, *arguments, **settings):
        if arguments[0] == "push":
            sends.append(arguments)
            raise LooplineError("`git push` failed: ! [rejected] main -> main (non-fast-forward)")
        return git_of(self, *arguments, **settings)

    return refusing


def begun(target):
    made = World().controller().begin("8")
    target.store(made)
    return made


def test_of_two_releases_from_two_clones_one_begins(target, remote, tmp_path):
    other = GitTarget(clone_of(remote, tmp_path / "other"), "prod", "flights")
    begun(target)
    with pytest.raises(LooplineError, match="was changed by another process"):
        begun(other)
    assert other.record().owner == "run-1"


def test_a_stale_action_is_refused(target, clone):
    record = begun(target)
    action = transitions.next_action(record)
    target.apply(action.model_copy(update={"generation": 5}), record)
    with pytest.raises(StaleActionError, match="and 5 was carried out"):
        target.apply(action, record)


def test_dirty_diverged_or_elsewhere(target, clone):
    (clone / FILE).write_text("changed")
    with pytest.raises(LooplineError, match="is dirty"), target.locked():
        pass
    git(clone, "commit", "--quiet", "-am", "Unpushed")
    with pytest.raises(LooplineError, match="has diverged: 1 commits on main are not pushed"), target.locked():
        pass
    git(clone, "checkout", "--quiet", "-b", "feature")
    with pytest.raises(LooplineError, match="is on branch feature: check out main"), target.locked():
        pass


def test_two_processes_with_one_clone(target):
    with (
        target.locked(),
        pytest.raises(LooplineError, match="another process releases with the clone"),
        target.locked(),
    ):
        pass


def test_changed_by_hand(target, clone):
    record = begun(target)
    (clone / FILE).write_text(
        (clone / FILE).read_text().replace("name: v7", "name: v7, labels: {loopline.dev/model-version: '6'}")
    )
    git(clone, "commit", "--quiet", "-am", "By hand")
    git(clone, "push", "--quiet", "origin", "main")
    with pytest.raises(LooplineError, match="it serves version 6, and the release is of 8 over 7"):
        target.apply(transitions.next_action(record), record)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlay": "moon"}, "has no kustomize/overlays/moon: name another overlay"),
        ({"endpoint": "trains"}, "has no InferenceService trains"),
        ({"remote": "upstream"}, "upstream"),
        ({"branch": "release"}, "is on branch main: check out release"),
    ],
)
def test_what_is_not_there(clone, settings, message):
    target = GitTarget(clone, **{"overlay": "prod", "endpoint": "flights", **settings})
    with pytest.raises(LooplineError, match=message):
        target.traffic_split()


def test_an_overlay_without_the_patch_that_a_release_writes(clone):
    git(clone, "rm", "--quiet", FILE)
    (clone / "kustomize/overlays/prod/kustomization.yaml").write_text("resources: [service.yaml]\n")
    git(clone, "commit", "--quiet", "--all", "-m", "Without the patch")
    git(clone, "push", "--quiet", "origin", "main")
    with pytest.raises(LooplineError, match=rf"has no {FILE}, the patch that a release writes"):
        GitTarget(clone, "prod", "flights").traffic_split()


def test_no_clone(tmp_path):
    with pytest.raises(LooplineError, match="is no folder: name a clone"):
        GitTarget(tmp_path / "nothing", "prod", "flights").traffic_split()
    with pytest.raises(LooplineError, match="not a git repository"):
        GitTarget(tmp_path, "prod", "flights").traffic_split()


def test_a_damaged_record(target, clone):
    Clone(clone, "origin", "main").push(RECORDS, lambda: {"prod/flights.json": "{"}, "Damage")
    with pytest.raises(LooplineError, match="is no record of a release: revert its last commit"):
        target.record()


def test_the_overlay_of_this_project(tmp_path, remote):
    """What is committed gives, through kustomize, exactly the InferenceService that was meant."""
    clone = clone_of(remote, tmp_path / "real")
    git(clone, "rm", "--quiet", "-r", "kustomize")
    clean_copy(clone)
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "The project")
    git(clone, "push", "--quiet", "origin", "main")
    target = GitTarget(clone, "prod", SPEC.name)
    before = target.service()
    stable = inference_service.traffic_split(before).stable
    record = World().controller().begin("8").model_copy(update={"stable": stable})
    action = transitions.next_action(record)
    wanted = render.apply_action(before, action, record)
    target.apply(action, record)
    found = target.service()
    assert found["metadata"]["annotations"].pop(GENERATION) == "1"
    assert found == wanted
    assert git(clone, "diff", "--name-only", "HEAD~1") == FILE


def test_a_pod_clones_the_repository_that_is_named_by_its_address(remote, monkeypatch):
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{who}_NAME")
        monkeypatch.delenv(f"GIT_{who}_EMAIL")
    target = GitTarget(git_clone.working_tree(remote.as_uri()), "prod", "flights")
    record = World().controller().begin("8")
    target.store(record)
    target.apply(transitions.next_action(record), record)
    again = GitTarget(git_clone.working_tree(remote.as_uri()), "prod", "flights")
    assert again.record() == record
    assert again.traffic_split() == TrafficSplit("7", "8", 20)
    assert git(remote, "log", "-1", "--format=%an", "main").strip() == "Loopline"


def test_a_clone_at_a_path_is_left_where_it_is(clone):
    assert git_clone.working_tree(str(clone)) == clone


def test_an_address_that_leads_nowhere(tmp_path):
    with pytest.raises(LooplineError, match=r"`git clone` in .* failed"):
        git_clone.working_tree(f"file://{tmp_path}/none.git")


def test_what_a_pod_pushes_with_is_in_no_argument(clone, monkeypatch):
    monkeypatch.setenv(git_command.USERNAME, "controller")
    monkeypatch.setenv(git_command.TOKEN, "s3cret")
    filled = git_command.run(["git", "credential", "fill"], clone, "protocol=https\nhost=git.example.org\n\n")
    assert "username=controller\npassword=s3cret\n" in filled
    assert "s3cret" not in git_command.run(["git", "config", "--list"], clone)

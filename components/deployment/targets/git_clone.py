"""A clone of a Git repository, in which commits are made beside the working tree and pushed onto what was read.

A push is refused if the branch moved on meanwhile: then the change is made anew, onto what is there now. Nothing is
ever forced. A process that is killed leaves the clone as it was.
"""

import contextlib
import fcntl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopline.components.deployment.targets.git_command import run
from loopline.components.errors import LooplineError

ATTEMPTS = 10
# Whose name is on commits from a clone that was made for one step.
AUTHOR = {"user.name": "Loopline", "user.email": "loopline@localhost"}
# What Git says to a push that came second.
_SECOND = ("fetch first", "non-fast-forward", "cannot lock ref", "baseline already exists")


class _RefusedPushError(LooplineError):
    """Somebody else pushed in between."""


@dataclass(frozen=True)
class Clone:
    """A clone, and the branch of its remote that is meant.

    Attributes:
        path: its working tree.
    """

    path: Path
    remote: str
    branch: str

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the clone as the only process that does; the lock goes with the process, however that ends.

        Raises:
            LooplineError: another one does, or there is no clone.
        """
        folder = Path(self.git("rev-parse", "--absolute-git-dir").strip())
        with (folder / "loopline.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LooplineError(f"another process releases with the clone {self.path}: let it end") from error
            yield

    def update(self) -> None:
        """Bring the working tree up to the remote branch.

        Raises:
            LooplineError: it is dirty, on another branch, or has commits that are not pushed.
        """
        here = self.git("rev-parse", "--abbrev-ref", "HEAD").strip()
        if here != self.branch:
            raise LooplineError(f"the clone {self.path} is on branch {here}: check out {self.branch}")
        if dirty := self.git("status", "--porcelain", "--untracked-files=no").strip():
            raise LooplineError(
                f"the clone {self.path} is dirty ({dirty.splitlines()[0].strip()}): commit and push, or discard that"
            )
        tip = self.fetch(self.branch)
        if tip is None:
            raise LooplineError(f"{self.remote} of the clone {self.path} has no branch {self.branch}")
        if ahead := int(self.git("rev-list", "--count", f"{tip}..HEAD")):
            raise LooplineError(
                f"the clone {self.path} has diverged: {ahead} commits on {self.branch} are not pushed; push them, or "
                "release from another clone"
            )
        self.git("merge", "--quiet", "--ff-only", tip)

    def fetch(self, branch: str) -> str | None:
        """The commit that a remote branch is at now; None if there is no such branch."""
        if not self.git("ls-remote", "--heads", self.remote, f"refs/heads/{branch}").strip():
            return None
        ref = f"refs/remotes/{self.remote}/{branch}"
        self.git("fetch", "--quiet", self.remote, f"+refs/heads/{branch}:{ref}")
        return self.git("rev-parse", "--verify", ref).strip()

    def read(self, commit: str, file: str) -> str | None:
        """A file as it is in a commit; None if it is not there."""
        if not self.git("ls-tree", commit, "--", file).strip():
            return None
        return self.git("show", f"{commit}:{file}")

    def push(self, branch: str, change: Callable[[], Mapping[str, str]], message: str) -> None:
        """Commit a change onto a remote branch; made anew where another push was faster.

        Args:
            branch: made if it is not there.
            change: gives the new text of files by path, from what is there when it is called.
            message: of the commit.

        Raises:
            LooplineError: the change is refused, or others push all the time.
        """
        for _ in range(ATTEMPTS):
            parent = self.fetch(branch)
            commit = self._commit(parent, change(), message)
            if commit is None:  # it is so already
                return
            with contextlib.suppress(_RefusedPushError):
                self._send(commit, branch)
                return
        raise LooplineError(f"{self.remote} of {self.path} is pushed to all the time; release again to go on")

    def _commit(self, parent: str | None, files: Mapping[str, str], message: str) -> str | None:
        """A commit of some files onto another; None if it changes nothing."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if parent:
                self.git("read-tree", parent, environment=index)
            for name, text in files.items():
                blob = self.git("hash-object", "-w", "--stdin", text=text).strip()
                self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", environment=index)
            tree = self.git("write-tree", environment=index).strip()
        if parent and tree == self.git("rev-parse", f"{parent}^{{tree}}").strip():
            return None
        return self.git("commit-tree", tree, *(["-p", parent] if parent else []), text=message).strip()

    def _send(self, commit: str, branch: str) -> None:
        """Push a commit; it goes onto its parent or nowhere.

        Raises:
            _RefusedPushError: the branch is elsewhere by now.
        """
        try:
            self.git("push", "--quiet", self.remote, f"{commit}:refs/heads/{branch}")
        except LooplineError as error:
            if any(words in str(error) for words in _SECOND):
                raise _RefusedPushError(str(error)) from error
            raise

    def git(self, *arguments: str, text: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """What Git says.

        Raises:
            LooplineError: it fails, with its own words, or takes too long.
        """
        return run(["git", *arguments], self.path, text, environment)


def working_tree(target_uri: str) -> Path:
    """The working tree of a clone: the one at a path, or a new one of a repository that is named by its address.

    Raises:
        LooplineError: the repository cannot be cloned.
    """
    if "://" not in target_uri:
        return Path(target_uri)
    folder = Path(tempfile.mkdtemp(prefix="loopline-clone-"))
    run(["git", "clone", "--quiet", target_uri, "clone"], folder)
    clone = Clone(folder / "clone", "origin", "main")
    for key, value in AUTHOR.items():
        clone.git("config", key, value)
    return clone.path

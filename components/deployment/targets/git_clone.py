"""A clone of a Git repository, in which commits are made without touching the working tree, and pushed.

If another push came first, ours is refused; the change is then made again on top of the new commit. Nothing is ever
forced. A process that is killed leaves the clone as it was.
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
# Author of commits from a clone that one step made for itself.
AUTHOR = {"user.name": "Loopline", "user.email": "loopline@localhost"}
# Git's messages when another push came first.
_REJECTED = ("fetch first", "non-fast-forward", "cannot lock ref", "baseline already exists")


class _RefusedPushError(LooplineError):
    """Another push came first."""


@dataclass(frozen=True)
class Clone:
    """A clone, with one branch of its remote.

    Attributes:
        path: its working tree.
        remote: name of the remote.
        branch: of the remote.
    """

    path: Path
    remote: str
    branch: str

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the clone for this process; the lock ends with the process, even if that is killed.

        Raises:
            LooplineError: another process holds it, or there is no clone.
        """
        folder = Path(self.git("rev-parse", "--absolute-git-dir").strip())
        with (folder / "loopline.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LooplineError(f"another process releases with the clone {self.path}: let it end") from error
            yield

    def update(self) -> None:
        """Fast-forward the working tree to the remote branch.

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
        """Fetch a remote branch and return its commit; None if there is no such branch."""
        if not self.git("ls-remote", "--heads", self.remote, f"refs/heads/{branch}").strip():
            return None
        ref = f"refs/remotes/{self.remote}/{branch}"
        self.git("fetch", "--quiet", self.remote, f"+refs/heads/{branch}:{ref}")
        return self.git("rev-parse", "--verify", ref).strip()

    def read(self, commit: str, file: str) -> str | None:
        """The text of a file in a commit; None if it does not exist there."""
        if not self.git("ls-tree", commit, "--", file).strip():
            return None
        return self.git("show", f"{commit}:{file}")

    def push(self, branch: str, change: Callable[[], Mapping[str, str]], message: str) -> None:
        """Commit a change on top of a remote branch and push it; make it again if another push came first.

        Args:
            branch: created if it does not exist.
            change: returns the new text of files by path, based on the newest commit.
            message: of the commit.

        Raises:
            LooplineError: the change is refused, or other pushes came first ten times.
        """
        for _ in range(ATTEMPTS):
            parent = self.fetch(branch)
            commit = self._commit(parent, change(), message)
            if commit is None:  # nothing to change
                return
            with contextlib.suppress(_RefusedPushError):
                self._send(commit, branch)
                return
        raise LooplineError(f"{self.remote} of {self.path} had a newer push each time; release again to continue")

    def _commit(self, parent: str | None, files: Mapping[str, str], message: str) -> str | None:
        """Create a commit of some files on top of another; None if nothing changes."""
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
        """Push a commit, if the remote branch is still at its parent.

        Raises:
            _RefusedPushError: another push came first.
        """
        try:
            self.git("push", "--quiet", self.remote, f"{commit}:refs/heads/{branch}")
        except LooplineError as error:
            if any(words in str(error) for words in _REJECTED):
                raise _RefusedPushError(str(error)) from error
            raise

    def git(self, *arguments: str, text: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run Git in the clone and return its output.

        Raises:
            LooplineError: Git fails or takes too long; the message has Git's own.
        """
        return run(["git", *arguments], self.path, text, environment)


def working_tree(target_uri: str) -> Path:
    """The working tree of a clone: the clone at a path, or a new one if an address of a repository is given.

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

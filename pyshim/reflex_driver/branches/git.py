"""What git knows: which revisions are published, and the revision files of another branch.

"Published" is what the branch has that this one is made for: the remote's default branch
(origin/main), the local one of that name, and, while a merge or a rebase is going on, what
is merged or rebased onto. git is asked in the versions directories, so that its answers
are about these alone.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import exits, internals
from ..advised import AdvisedError
from .files import RevisionFile, parse
from .graph import Graph, Locations

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 60  # seconds, for a repository on a disk that does not answer
_DEFAULT = ("main", "master", "trunk")


class GitError(AdvisedError):
    """git can't be asked, or does not know; the message says what it said."""


@dataclass(frozen=True)
class Upstream:
    """What is published: commits, and the name of the first for messages."""

    name: str
    commits: tuple[str, ...]


class Git:
    """The repository of a script directory."""

    def __init__(self, locations: Locations) -> None:
        """Raise GitError where there is no git, or no repository."""
        self._locations = locations
        self._directory = next((d for d in locations.directories if d.is_dir()), Path.cwd())
        self._top = Path(self._ask("rev-parse", "--show-toplevel"))

    def upstream(self) -> Upstream | None:
        """What is published; None where no branch can be told from this one."""
        onto = self._of_rebase()
        if onto is not None:
            return Upstream(self._name(onto), (onto,))
        remote = self._try("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        branch = self._try("symbolic-ref", "--quiet", "--short", "HEAD")
        merged = self._try("rev-parse", "--quiet", "--verify", "MERGE_HEAD")
        names = [remote, remote.partition("/")[2]] if remote else []
        if not names:
            default = next((n for n in _DEFAULT if self._has(n) or self._has(f"origin/{n}")), "")
            names = [f"origin/{default}", default] if default else []
        at_default = branch in names
        found = [name for name in names if name != branch and self._has(name)]
        if at_default and merged:
            found.insert(0, "HEAD")
        elif at_default and not found and self._has("HEAD^2"):
            found = ["HEAD^1"]  # a merge into the default branch, which no remote has
        elif merged and not at_default:
            found.append(merged)
        if not found:
            return None
        return Upstream(branch if found[0].startswith("HEAD") else found[0], tuple(found))

    def published(self, upstream: Upstream) -> Graph:
        """The revision files of its commits; a revision of several is the last one's."""
        files = {file.revision: file for name in upstream.commits for file in self.files(name)}
        return Graph(files.values())

    def files(self, commit: str) -> Iterator[RevisionFile]:
        """The revision files of a commit or a tree, below the versions directories of here."""
        recursive = ["-r"] if self._locations.recursive else []
        for directory in self._locations.directories:
            if not directory.is_dir() or not directory.resolve().is_relative_to(
                self._top.resolve()
            ):
                continue
            listed = self._run("ls-tree", "-z", *recursive, commit, directory=directory)
            blobs = {}
            for line in filter(None, listed.split(b"\0")):
                about, _, name = line.partition(b"\t")
                kind, blob = about.split()[1:3]
                path = name.decode("utf-8", "surrogateescape")
                if kind == b"blob" and internals.is_revision_name(path.rpartition("/")[2]):
                    blobs[path] = blob
            yield from self._parsed(directory, blobs)

    def merged_with(self, commit: str) -> str:
        """The tree of a merge of HEAD and a commit, made without touching anything.

        Raises GitError with git before 2.38, or for an unknown commit.
        """
        self._ask("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}", what=commit)
        done = self._start("merge-tree", "--write-tree", "HEAD", commit)
        tree = done.stdout.decode().split("\n", 1)[0]
        # 1 is a conflict; the tree is there, with marks in the files that have one.
        if done.returncode not in (0, 1) or not re.fullmatch(r"[0-9a-f]{40,64}", tree):
            raise GitError(f"git merge-tree: {_said(done)} (it needs git 2.38)")
        return tree

    def busy(self) -> str:
        """The command that goes on with what is begun: `merge`, `rebase`, or nothing."""
        if self._of_rebase() is not None:
            return "rebase"
        return "merge" if self._has("MERGE_HEAD") else ""

    def _of_rebase(self) -> str | None:
        for name in ("rebase-merge/onto", "rebase-apply/onto"):
            file = self._directory / self._ask("rev-parse", "--git-path", name)
            if file.is_file():
                return file.read_text().strip()
        return None

    def _name(self, commit: str) -> str:
        name = self._try("name-rev", "--name-only", "--no-undefined", commit)
        return (name or commit[:12]).removeprefix("remotes/")

    def _parsed(self, directory: Path, blobs: dict[str, bytes]) -> Iterator[RevisionFile]:
        answer = self._run("cat-file", "--batch", given=b"".join(b + b"\n" for b in blobs.values()))
        for path in blobs:
            head, _, answer = answer.partition(b"\n")
            size = int(head.split()[2])
            file = parse(exits.shown(str(directory / path)), answer[:size])
            answer = answer[size + 1 :]
            if file is not None:
                yield file

    def _has(self, name: str) -> bool:
        return bool(self._try("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"))

    def _try(self, *arguments: str) -> str:
        done = self._start(*arguments)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def _ask(self, *arguments: str, what: str = "") -> str:
        done = self._start(*arguments)
        if done.returncode != 0:
            raise GitError(f"git does not know {what}" if what else f"git: {_said(done)}")
        return done.stdout.decode().strip()

    def _run(self, *arguments: str, given: bytes = b"", directory: Path | None = None) -> bytes:
        done = self._start(*arguments, given=given, directory=directory)
        if done.returncode != 0:
            raise GitError(f"git: {_said(done)}")
        return done.stdout

    def _start(
        self, *arguments: str, given: bytes = b"", directory: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["git", "-C", str(directory or self._directory), *arguments],
                input=given,
                capture_output=True,
                timeout=_LIMIT,
                check=False,
            )
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except subprocess.TimeoutExpired:
            raise GitError(f"git {arguments[0]} has not answered for {_LIMIT} seconds") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    text = done.stderr.decode("utf-8", "replace").strip()
    return text.partition("\n")[0].removeprefix("fatal: ") or f"exit status {done.returncode}"

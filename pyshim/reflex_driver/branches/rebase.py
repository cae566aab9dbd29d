"""`reflex db rebase`: this branch's revisions on top of the others.

What is published stays as it is. Of this branch's own revisions, the first of each line
gets a new `down_revision`; the ids stay, and so do the files of all others. Nothing is
written unless everything can be.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from .. import configuration, history, status
from ..advised import AdvisedError
from ..printing import put
from .files import RevisionFile, with_parent
from .git import Git, GitError
from .graph import Graph, Locations
from .tables import named_by

if TYPE_CHECKING:
    from alembic.config import Config


@dataclass(frozen=True)
class _Move:
    file: RevisionFile
    onto: str
    source: bytes  # the file's new content


def rebase(config: Config, *, program: str, onto: str | None, dry_run: bool) -> None:
    """The command. Raises AdvisedError, and has then written nothing."""
    locations = Locations(config)
    here = locations.graph()
    for file, parent in here.missing():
        raise AdvisedError(
            f"{file.name} follows {parent}, and no file here has this revision",
            "merge the branch that has it first",
        )
    git, published, upstream = _published(locations, here, program, asked=onto is None)
    moves = _plan(here, published, _target(here, onto), upstream, program)
    if not moves:
        heads = here.heads()
        if len(heads) > 1:
            raise AdvisedError(
                f"There are {len(heads)} heads, {', '.join(heads)}, and none of them is "
                f"this branch's alone{f': {upstream} has them' if upstream else ''}",
                f"`{program} merge heads` joins them",
            )
        put(f"Nothing to do: there is one head, {heads[0]}." if heads else "No revisions here.")
        return
    _ask_the_database(config, here, moves, program)
    _warn_of_tables(here, moves)
    if dry_run:
        for move in moves:
            put(_diff(move), end="")
        return
    _write(moves)
    for move in moves:
        before = ", ".join(move.file.parents) or "nothing"
        put(f"{move.file.revision} follows {move.onto} now, not {before}: {move.file.name}")
    busy = git.busy() if git else ""
    put(
        f"Next: git add {' '.join(move.file.name for move in moves)}"
        + (f", then git {busy} --continue" if busy else "")
    )


def _published(
    locations: Locations, here: Graph, program: str, *, asked: bool
) -> tuple[Git | None, Graph | None, str]:
    """git, the published revisions, and where they are; None where git can't tell and need not."""
    needed = asked and len(here.heads()) > 1
    hint = f"name the revision that stays below: `{program} rebase --onto REVISION`"
    try:
        git = Git(locations)
        upstream = git.upstream()
    except GitError as exc:
        if needed:
            raise AdvisedError(
                f"Which revisions are this branch's own can't be told: {exc}", hint
            ) from None
        return None, None, ""
    if upstream is None:
        if needed:
            raise AdvisedError(
                "Which revisions are this branch's own can't be told: "
                "git knows no branch main, and no remote",
                hint,
            )
        return git, None, ""
    published = git.published(upstream)
    missing = sorted(published.keys() - here.keys())
    if missing and asked:
        raise AdvisedError(
            f"{upstream.name} has revisions that are not here: {', '.join(missing)}",
            f"`git merge {upstream.name}` first",
        )
    return git, published, upstream.name


def _target(here: Graph, onto: str | None) -> str | None:
    if onto is None:
        return None
    found = here.named(onto)
    if found is None:
        raise AdvisedError(f"No revision here is named {onto}, or more than one begins with it")
    return found


def _plan(
    here: Graph, published: Graph | None, onto: str | None, upstream: str, program: str
) -> list[_Move]:
    """What is moved: the first revisions of each of this branch's lines, one line on another."""
    if len(here.heads()) < 2:
        return []
    stays = here.before(onto) if onto else set(published or ())
    mine = here.keys() - stays
    if onto and published is not None:
        _refuse_published(here, mine & published.keys(), stays, upstream, program)
        mine -= published.keys()
    lines = [
        (line, onto or _top(line, published, upstream, program)) for line in _lines(here, mine)
    ]
    # A line that is in place stays below; of the others, the oldest comes first.
    lines.sort(key=lambda item: (not _is_on(*item), item[0][0].created, item[0][0].revision))
    ends: dict[str | None, str] = {}
    moves = []
    for line, top in lines:
        target = ends.get(top, top)
        if target is not None and not _is_on(line, target):
            _refuse_immovable(here, line, target, mine, program)
            moves += [_Move(file, target, with_parent(file, target)) for file in line]
        ends[top] = _head(here, line, mine, program)
    return moves


_Line = list[RevisionFile]
"""The first revisions of what hangs together in this branch: one, or those that a merge joins."""


def _lines(here: Graph, mine: set[str]) -> list[_Line]:
    """All lines of this branch, without those that a branch label keeps apart from the base on."""
    lines: list[tuple[set[str], _Line]] = []
    for name in sorted(mine):
        file = here[name]
        if set(file.parents) & mine:
            continue
        members, line = _after(here, {name}), [file]
        for other in [item for item in lines if item[0] & members]:
            lines.remove(other)
            members, line = members | other[0], other[1] + line
        lines.append((members, line))
    return [line for _, line in lines if any(f.parents or not f.branch_labels for f in line)]


def _after(here: Graph, names: set[str]) -> set[str]:
    """These revisions and all that follow them."""
    found = set(names)
    while more := {n for n, f in here.items() if set(f.parents) & found} - found:
        found |= more
    return found


def _is_on(line: _Line, target: str | None) -> bool:
    return target is not None and all(file.parents == (target,) for file in line)


def _head(here: Graph, line: _Line, mine: set[str], program: str) -> str:
    own = _after(here, {file.revision for file in line}) & mine
    heads = sorted(own - {parent for name in own for parent in here[name].parents})
    if len(heads) > 1:
        raise AdvisedError(
            f"This branch itself parts, into {', '.join(heads)}",
            f"`{program} merge {' '.join(heads)}` joins them; then the same command again",
        )
    return heads[0]


def _top(line: _Line, published: Graph | None, upstream: str, program: str) -> str | None:
    """The published head of the line where this one has been begun."""
    parents = {parent for file in line for parent in file.parents}
    heads = published.heads() if published else []
    heads = [head for head in heads if published and parents <= published.before(head)]
    if len(heads) > 1:
        raise AdvisedError(
            f"{upstream} itself has {len(heads)} heads: {', '.join(heads)}",
            f"`{program} rebase --onto REVISION` names the one that stays below",
        )
    return heads[0] if heads else None


def _refuse_published(
    here: Graph, both: set[str], stays: set[str], upstream: str, program: str
) -> None:
    for name in sorted(both):
        if set(here[name].parents) <= stays and not here[name].branch_labels:
            raise AdvisedError(
                f"{name} is published: {upstream} has it, and a database may have it",
                f"`{program} merge heads` joins the heads and moves nothing",
            )


def _refuse_immovable(here: Graph, line: _Line, target: str, mine: set[str], program: str) -> None:
    hint = f"`{program} merge heads` joins the heads and moves nothing"
    for file in line:
        if len(file.parents) > 1:
            raise AdvisedError(f"{file.name} is a merge of {', '.join(file.parents)}", hint)
        if file.branch_labels:
            labels = ", ".join(file.branch_labels)
            raise AdvisedError(f"{file.name} begins the branch {labels} (branch_labels)", hint)
        if file.revision in here.before(target):
            raise AdvisedError(f"{target} needs {file.revision} before it (depends_on)", hint)
    for name in sorted(_after(here, {file.revision for file in line})):
        outside = set(here[name].parents) - mine
        if name in mine and len(here[name].parents) > 1 and outside:
            raise AdvisedError(
                f"{here[name].name} joins this branch with {', '.join(sorted(outside))} already",
                hint,
            )


def _ask_the_database(config: Config, here: Graph, moves: list[_Move], program: str) -> None:
    """Raise where a database that REFLEX_DB_URL names has applied what is to be moved.

    It would take all that comes below then for applied, and never apply it.
    """
    if not configuration.environment_url():
        return
    script = history.load(config)
    for database in status.survey(config, script):
        applied = here.before(*database.revisions.current)
        for move in moves:
            if move.file.revision in applied:
                raise AdvisedError(
                    f"{database.url} has {move.file.revision} already, "
                    f"and would never get what is put below it",
                    f"`{program} merge heads` joins the heads and moves nothing. Or take the "
                    f"revision back there, which drops what it made: "
                    f"`{program} downgrade {(*move.file.parents, 'base')[0]}`",
                )


def _warn_of_tables(here: Graph, moves: list[_Move]) -> None:
    """Say which tables both sides touch: somebody should look at those."""
    moved = _after(here, {move.file.revision for move in moves})
    below = here.before(*(move.onto for move in moves)) - moved
    below -= here.before(*(parent for move in moves for parent in move.file.parents))
    touching: dict[str, set[str]] = {}  # a table's revisions
    for name in moved | below:
        for table in named_by(here[name]):
            touching.setdefault(table, set()).add(name)
    for table, names in sorted(touching.items()):
        if names & moved and names & below:
            text = ", ".join(sorted(names))
            put(f"Look at the table {table}: {text} all change it.", file=sys.stderr)


def _diff(move: _Move) -> str:
    name = Path(move.file.name).as_posix()
    old, new = (
        text.decode("utf-8", "replace").splitlines(keepends=True)
        for text in (move.file.source, move.source)
    )
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def _write(moves: list[_Move]) -> None:
    """Write all files or none: first beside them, then each in the place of the old one."""
    with contextlib.ExitStack() as stack:
        places = []
        for move in moves:
            path = Path(move.file.name).resolve()
            handle, new = tempfile.mkstemp(".new", f".{path.name}-", path.parent)
            stack.callback(Path(new).unlink, missing_ok=True)
            with open(handle, "wb") as file:
                file.write(move.source)
            shutil.copymode(path, new)
            places.append((new, path))
        for new, path in places:
            os.replace(new, path)
            # Python goes by the size and the second of the source (PEP 552): bytecode that was
            # written in this second would pass for that of the new file.
            with contextlib.suppress(OSError):
                Path(cache_from_source(str(path))).unlink(missing_ok=True)

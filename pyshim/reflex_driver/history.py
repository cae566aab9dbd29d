"""The revisions of a project as data: what `history --json` prints, and `status` begins with.

Alembic's script directory says what the revisions are and in which order they
are applied; no database is asked. docs/status.md has the form.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alembic.script import ScriptDirectory
from alembic.util import CommandError, to_tuple

from . import exits, internals
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from alembic.config import Config
    from alembic.script import Script

FORM = 1  # of the documents; a change that a reader could notice makes it 2

_CREATED = re.compile(r"^Create Date:\s*(\S.*?)\s*$", re.MULTILINE)


def print_json(config: Config, *, rev_range: str | None, indicate_current: bool) -> None:
    """The command `history --json`."""
    if indicate_current or "current" in (rev_range or "").split(":"):
        raise UsageError("history --json asks no database; `status --json` has what is current")
    script = load(config)
    print(json.dumps(document(script, walk(script, rev_range)), indent=2))


def load(config: Config) -> ScriptDirectory:
    """The script directory, its revisions loaded. What they print is no part of the answer."""
    with answer_kept_clean():
        script = ScriptDirectory.from_config(config)
        script.get_heads()
    return script


@contextlib.contextmanager
def answer_kept_clean() -> Iterator[None]:
    """Lead to stderr what the project's own code prints meanwhile."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def walk(
    script: ScriptDirectory, rev_range: str | None = None, current: Collection[str] = ()
) -> list[Script]:
    """The revisions in Alembic's order, the newest first, all or those of START:END."""
    if rev_range is None:
        return list(script.walk_revisions())
    if rev_range.count(":") != 1:
        raise CommandError("History range requires [start]:[end], [start]:, or :[end]")
    # Alembic takes several revisions as an end, which its annotations don't say.
    base, head = (
        cast("str", tuple(current)) if end == "current" else end
        for end in rev_range.strip().split(":")
    )
    return list(script.walk_revisions(base=base or "base", head=head or "heads"))


def document(script: ScriptDirectory, newest_first: list[Script]) -> dict[str, Any]:
    """What `history --json` prints, and `status --json` begins with."""
    return {
        "form": FORM,
        "heads": list(script.get_heads()),
        "history": [_record(script, revision) for revision in reversed(newest_first)],
    }


def directories(script: ScriptDirectory) -> str:
    """The directories that hold the revisions, as a person may type them."""
    return ", ".join(exits.shown(str(path)) for path in internals.version_locations(script))


def message(revision: Script) -> str:
    """The first line of a revision's message."""
    return revision.doc.partition("\n")[0]


def created(revision: Script) -> datetime | None:
    """When a revision was written, as its template has noted it."""
    found = _CREATED.search(revision.longdoc)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[1])
    except ValueError:  # a template's own way to write it
        return None


def _record(script: ScriptDirectory, revision: Script) -> dict[str, Any]:
    date = created(revision)
    depends_on = script.get_revisions(to_tuple(revision.dependencies, default=()))
    return {
        "revision": revision.revision,
        "parents": list(to_tuple(revision.down_revision, default=())),
        "depends_on": [other.revision for other in depends_on],
        "branch_labels": sorted(revision.branch_labels),
        "message": revision.doc,
        "date": date.isoformat(timespec="seconds") if date else None,
        "file": _relative(revision.path, script.dir),
    }


def _relative(file: str, directory: str) -> str:
    # Alembic resolves a revision's path, and leaves that of the directory as it is written.
    return Path(os.path.relpath(file, os.path.realpath(directory))).as_posix()

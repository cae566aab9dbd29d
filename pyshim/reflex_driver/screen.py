"""Where databases stand, on one screen for a person: what `status` prints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import history, width
from .printing import put
from .terminal import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.script import Script, ScriptDirectory

    from .database_status import DatabaseStatus

_FEW = 10  # of the revisions of a kind that are shown unless all are asked for

GREEN, YELLOW, RED = 32, 33, 31


def colourful() -> bool:
    """Whether stdout is a terminal, and nobody has asked for no colour."""
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: int) -> str:
    """`text` in a colour of the terminal, where stdout is one."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colourful() else text


def show(
    script: ScriptDirectory, databases: list[DatabaseStatus], *, program: str, verbose: bool
) -> None:
    """Print each in a paragraph of its own."""
    for number, database in enumerate(databases):
        if number:
            put()
        columns = width.of(sys.stdout)
        for name, value in _lines(script, database, verbose=verbose):
            put(_beside(name) + _fitting(name, value, columns))
        summary, colour, steps = _summary(script, database, program)
        put(_beside("") + paint(summary, colour))
        for name, step in _named("Next", steps):
            start = _beside(name)
            put(start + (width.fold(step, columns, start) if columns else step))


def show_briefly(script: ScriptDirectory, databases: list[DatabaseStatus]) -> None:
    """Print each on a line of its own."""
    for database in databases:
        at = ", ".join(database.revisions.current) or "<base>"
        summary, colour, _ = _summary(script, database, "")
        parts = [at, paint(summary, colour)]
        if database.lock is not None:
            waits = f", {database.lock.waits}" if database.lock.waits else ""
            parts.append(f"The lock is held by {database.lock.description}{waits}.")
        if database.invalid_indexes:
            names = ", ".join(index.sql for index in database.invalid_indexes)
            parts.append(f"Invalid indexes: {names}.")
        put("  ".join(parts))


def _lines(
    script: ScriptDirectory, database: DatabaseStatus, *, verbose: bool
) -> Iterator[tuple[str, str]]:
    """Names and values; a name stands at the first of its values only."""
    revisions = database.revisions
    yield "Database", database.url
    yield "Server", f"{database.server} {database.server_version}".strip()
    known = script.get_revisions([r for r in revisions.current if r not in revisions.unknown])
    heads = script.get_revisions(script.get_heads())
    limit = None if verbose else _FEW
    shown = [*known[:limit], *heads[:limit], *revisions.pending[:limit]]
    widest = max((width.columns(r.revision) for r in shown), default=0)
    at = [_row(r, widest) for r in known]
    at += [f"{width.pad(row, widest)}  (not of this project)" for row in revisions.unknown]
    if not at:
        at = [f"no revision; {_table(database)} {_emptiness(database)}"]
    head = [_row(r, widest) for r in heads] or [
        f"the project has no revisions in {revisions.none_in}"
    ]
    pending = [_row(r, widest) for r in revisions.pending]
    for name, rows in (("At", at), ("Head", head), ("Pending", pending)):
        rest = len(rows[limit:]) if limit else 0
        more = [f"and {rest} more (-v shows all)"] if rest else []
        yield from _named(name, rows[:limit] + more)
    if database.lock is not None:
        held = [f"held by {database.lock.description}", database.lock.waits]
        yield from _named("Lock", list(filter(None, held)))
    yield from _named("Invalid", [f"index {i.sql} on {i.table}" for i in database.invalid_indexes])


def _named(name: str, values: list[str]) -> Iterator[tuple[str, str]]:
    for number, value in enumerate(values):
        yield "" if number else name, value


def _row(revision: Script, widest: int) -> str:
    date = history.created(revision)
    written = f"{date:%Y-%m-%d}  " if date else ""
    return f"{width.pad(revision.revision, widest)}  {written}{history.message(revision)}".rstrip()


def _table(database: DatabaseStatus) -> str:
    schema = database.version_table_schema
    return f"{schema}.{database.version_table}" if schema else database.version_table


def _emptiness(database: DatabaseStatus) -> str:
    return "is empty" if database.version_table_exists else "does not exist"


def _summary(
    script: ScriptDirectory, database: DatabaseStatus, program: str
) -> tuple[str, int, list[str]]:
    """How it stands, the colour of that, and what to type next."""
    revisions, several = database.revisions, len(script.get_heads()) > 1
    head = "heads" if several else "head"
    steps = []
    if revisions.unknown:
        summary, colour = "The database has a revision that this project does not have.", RED
        steps.append("update this checkout: a newer one has migrated the database")
    elif revisions.pending:
        count = len(revisions.pending)
        summary = f"{count} revision{'s are' if count > 1 else ' is'} pending."
        colour = YELLOW
        steps.append(f"`{program} upgrade {head}` applies what is pending")
        if not revisions.current:
            steps.append(f"or `{program} stamp {head}`, if the tables are there already")
    elif not script.get_heads():
        summary, colour = "There is nothing to apply.", YELLOW
        steps.append(f'`{program} revision --autogenerate -m "first tables"` writes a revision')
    else:
        summary, colour = "Up to date.", GREEN
    if several:
        count = len(script.get_heads())
        steps.append(
            f'`{program} merge heads -m "..."` joins the {count} heads, unless they are meant'
        )
    steps += [
        f"DROP INDEX CONCURRENTLY {index.sql}, and make it again"
        for index in database.invalid_indexes
    ]
    return summary, colour, steps


def _beside(name: str) -> str:
    return f"{name:<10} "


def _fitting(name: str, value: str, columns: int | None) -> str:
    """No wider than the terminal. What counts of a URL is its end, the database."""
    if columns is None:
        return value
    cut = width.cut_start if name == "Database" else width.cut
    return cut(value, max(columns - len(_beside(name)), 3))
